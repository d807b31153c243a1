package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"mcpgateway/internal/detach"
)

// A caller with an idle connection may send the next call on it when the shim has begun to leave: it is answered, and
// told that the connection ends.
func TestLeavingServesIdleConnections(t *testing.T) {
	l, err := listen("unix:" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	detached, err := detach.NewHolder(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer detached.Close()
	door := &door{detached: detached}
	server := &http.Server{Handler: door.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })), ConnState: door.connections.Note}
	go server.Serve(l)
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, bufio.NewReader(c)
	}
	ask := func(c net.Conn, in *bufio.Reader, path string) *http.Response {
		t.Helper()
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shim\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok" {
			t.Fatalf("%q, %v", b, err)
		}
		return resp
	}
	idle, idleIn := dial()
	if ask(idle, idleIn, "/").Close {
		t.Error("a connection ends though nobody leaves")
	}
	forgotten, forgottenIn := dial() // never used again: it must not keep the shim
	ask(forgotten, forgottenIn, "/")
	left := make(chan error, 1)
	go func() { left <- door.leave(l, server, func() {}, time.Minute) }()
	time.Sleep(2 * linger)
	if _, err := net.Dial("unix", l.Addr().String()); err == nil {
		t.Error("somebody new finds the shim")
	}
	if ask(idle, idleIn, livePath).Close {
		t.Error("who asks whether the shim is there cannot send the call")
	}
	if !ask(idle, idleIn, "/").Close {
		t.Error("the caller is not told that the connection ends")
	}
	if err := <-left; err != nil {
		t.Error(err)
	}
}

// A listener's stream, of which net/http knows nothing any more, is ended before the shim leaves.
func TestLeavingAwaitsDetachedListeners(t *testing.T) {
	l, err := listen("unix:" + filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	detached, err := detach.NewHolder(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer detached.Close()
	goodbye, ended := make(chan struct{}), make(chan struct{})
	detached.Serve(func(h *detach.Handoff) {
		h.Release()
		<-goodbye
		close(ended)
	})
	left := make(chan error, 1)
	door := &door{detached: detached}
	go func() { left <- door.leave(l, &http.Server{}, func() {}, time.Minute) }()
	select {
	case <-left:
		t.Fatal("left while a listener is told")
	case <-time.After(3 * linger):
	}
	close(goodbye)
	<-ended
	if err := <-left; err != nil {
		t.Error(err)
	}
}
