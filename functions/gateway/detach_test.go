package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"
)

// endingListener is a server whose listening stream says one word and ends.
func endingListener(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: first\n\n")
	_ = http.NewResponseController(w).Flush()
	time.Sleep(50 * time.Millisecond)
	_, _ = io.WriteString(w, "data: last\n\n")
}

// What a listener gets on the wire is an answer as net/http would have sent it.
func TestDetachedStreamOnTheWire(t *testing.T) {
	for version, wantBody := range map[string]string{
		"1.1": "d\r\ndata: first\n\n\r\nc\r\ndata: last\n\n\r\n0\r\n\r\n",
		"1.0": "data: first\n\ndata: last\n\n",
	} {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, endingListener)
			r.gateway.keepAlive = time.Minute // no comment between the two
			if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
				t.Fatal("no call")
			}
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			req := r.request(t, "GET", "github", "")
			_, err = fmt.Fprintf(conn, "GET %s HTTP/%s\r\nHost: %s\r\nAuthorization: %s\r\nAccept: text/event-stream\r\n\r\n",
				req.URL.Path, version, req.Host, req.Header.Get("Authorization"))
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			answer, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
			if !strings.HasPrefix(head, "HTTP/"+version+" 200") && version == "1.1" || body != wantBody {
				t.Errorf("got %q", answer)
			}
			if chunked := strings.Contains(head, "Transfer-Encoding: chunked"); chunked != (version == "1.1") || strings.Count(head, "Connection: close") != 1 {
				t.Errorf("head %q", head)
			}
		})
	}
}

// A listener that leaves takes its leg along, and its place among its user's streams is free.
func TestDetachedListenerLeaves(t *testing.T) {
	left := make(chan struct{}, 100)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if req.Method != http.MethodGet {
			return
		}
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		left <- struct{}{}
	})
	_, _ = r.do(t, r.request(t, "POST", "github", echo))
	for range 10 { // twice as many as may be open at once
		lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
		expectLine(t, lines, "data: first")
		leave()
		select {
		case <-left:
		case <-time.After(5 * time.Second):
			t.Fatal("the leg goes on")
		}
		time.Sleep(10 * time.Millisecond) // the leg ends before the place is free
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if r.gateway.detached.Wait(ctx) != nil {
		t.Error("goroutines of listeners are left")
	}
}

// Of what net/http keeps for a connection (two buffers, the request) nothing is left while a listener waits.
func TestDetachedListenerHoldsNoRequest(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			answerJSON(w, req)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	_, _ = r.do(t, r.request(t, "POST", "github", echo))
	held := make(chan weak.Pointer[http.Request], 1)
	r.Close()
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		held <- weak.Make(req) // net/http's response holds it, and with that whoever holds the response
		r.gateway.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
	defer leave()
	expectLine(t, lines, "data: first")
	request := <-held
	for limit := time.Now().Add(10 * time.Second); request.Value() != nil; runtime.GC() {
		if time.Now().After(limit) {
			t.Fatal("the listener holds the request that it came with")
		}
	}
}

// Where the handler's server has no connection to give, the stream stays with the handler.
func TestListenerThatCannotDetach(t *testing.T) {
	r := newRig(t, endingListener)
	_, _ = r.do(t, r.request(t, "POST", "github", echo))
	type flusher struct { // neither Hijack nor Unwrap
		http.ResponseWriter
		http.Flusher
	}
	r.Close()
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.gateway.ServeHTTP(flusher{w, w.(http.Flusher)}, req)
	}))
	t.Cleanup(r.Close)
	lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
	defer leave()
	expectLine(t, lines, "data: first")
	expectLine(t, lines, "data: last")
	expectEnd(t, lines)
}
