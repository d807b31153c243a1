package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/drain"
	"mcpgateway/internal/mcp"
)

// pipeListener hands out in-memory connections, so that a test's clock can run ahead.
type pipeListener struct {
	conns chan net.Conn
	done  context.Context
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done.Done():
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// The server's timeouts are for requests. They must end neither a listener nor a call that takes long, and must leave
// nothing behind on a connection that is used again.
func TestTimeoutsDoNotEndCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := pipeListener{make(chan net.Conn), ctx}
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := newCall(w, r, nil)
			if err := c.read(); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
				t.Errorf("%s ended after less than ten minutes", r.Method)
			case <-time.After(10 * time.Minute):
			}
			_, _ = io.WriteString(c.w, "done")
		})
		server := newServer(handler, nil)
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		client, theirs := net.Pipe()
		l.conns <- theirs
		in := bufio.NewReader(client)
		for _, method := range []string{"POST", "GET", "POST", "DELETE"} {
			_, _ = fmt.Fprintf(client, "%s / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", method)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "done" {
				t.Errorf("%s: %q, %v", method, b, err)
			}
			time.Sleep(100 * time.Second) // less than the connection may idle, more than a write may take
		}
		_ = client.Close()
		stop()
		_ = server.Close()
		<-served
		time.Sleep(time.Second) // net/http lets a connection linger
	})
}

// A client that announces a body and does not send it is let go.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := pipeListener{make(chan net.Conn), ctx}
		got := make(chan error, 1)
		server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := newCall(w, r, nil)
			got <- c.read()
		}), nil)
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		client, theirs := net.Pipe()
		l.conns <- theirs
		go func() { _, _ = io.Copy(io.Discard, client) }()
		began := time.Now()
		_, _ = io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 6000000\r\n\r\n{")
		err := <-got
		e, ok := err.(*mcp.Error)
		if !ok || e.Status != 408 || time.Since(began) > time.Minute {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		_ = client.Close()
		stop()
		_ = server.Close()
		<-served
		time.Sleep(time.Second) // net/http lets a connection linger
	})
}

// Who is connected when the process is told to stop is served still, and nobody is after that.
func TestWhoIsConnectedIsServed(t *testing.T) {
	r := newRig(t, answerJSON)
	l, err := drain.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l, r.gateway) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stop()
	for { // until the listener is closed
		other, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		_ = other.Close()
	}
	_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || !resp.Close {
		t.Errorf("%v, %v", resp, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
