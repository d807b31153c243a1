package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
)

func TestAnswersThatLeave(t *testing.T) {
	for _, c := range []struct {
		name         string
		status       int
		kind, body   string
		want         int
		wantBody     string
		keepsLetters bool
	}{
		{"JSON", 200, "application/json", `{"a":1}`, 200, `{"a":1}`, true},
		{"JSON error", 404, "application/json; charset=utf-8", `{"a":1}`, 404, `{"a":1}`, true},
		{"events", 200, "text/event-stream", "data: {}\n\n", 200, "data: {}\n\n", true},
		{"accepted", 202, "", "", 202, "", true},
		{"accepted with a type", 202, "text/plain", "", 202, "", true},
		{"page", 200, "text/html", "<script>alert(1)</script>", 502, "neither JSON nor", false},
		{"script", 200, "application/javascript", "alert(1)", 502, "neither JSON nor", false},
		{"JSON-like", 200, "application/json+evil", "alert(1)", 502, "neither JSON nor", false},
		{"no type", 200, "", "<html>", 502, "neither JSON nor", false},
		{"plain error", 404, "text/plain", "session not found\n", 404, `"message":"session not found"`, false},
		{"page error", 500, "text/html", "<script>alert(1)</script>", 500, "500 Internal", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{c.kind}
				if c.kind == "" {
					w.Header()["Content-Type"] = nil
				}
				w.Header().Set("Set-Cookie", "a=b")
				w.Header().Set("Content-Security-Policy", "default-src *")
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.Header().Set("Location", "https://evil.test")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			resp, body := r.do(t, r.request(t, "POST", "github", echo))
			if resp.StatusCode != c.want || !strings.Contains(body, c.wantBody) || c.keepsLetters && body != c.wantBody || strings.Contains(body, "<script>") {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
			h := resp.Header
			if h.Get("Set-Cookie")+h.Get("Location")+h.Get("Access-Control-Allow-Origin") != "" || h.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("headers %v", h)
			}
		})
	}
}

func TestKeepAliveComments(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		time.Sleep(150 * time.Millisecond) // silent before the first event
		_, _ = io.WriteString(w, "data: {\"a\":")
		_ = flush()
		time.Sleep(250 * time.Millisecond) // and in the middle of one
		_, _ = io.WriteString(w, "1}\n\n")
		_ = flush()
		time.Sleep(250 * time.Millisecond)
		_, _ = io.WriteString(w, "data: {\"b\":2}\n\n")
	})
	_, body := r.do(t, r.request(t, "POST", "github", echo))
	before, rest, ok := strings.Cut(body, "data: {\"a\":1}\n\n")
	if !ok {
		t.Fatalf("a comment inside an event: %q", body)
	}
	if strings.Count(rest, ": keep-alive\n\n") < 1 || !strings.HasSuffix(rest, "data: {\"b\":2}\n\n") {
		t.Errorf("got %q, then %q", before, rest)
	}
}

// Each event is on its way before the next one exists.
func TestEventsLeaveAtOnce(t *testing.T) {
	next := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	resp, err := http.DefaultTransport.RoundTrip(r.request(t, "POST", "github", echo))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		for lines.Scan() && lines.Text() != fmt.Sprintf("data: %d", i) {
		}
		next <- struct{}{}
	}
	if lines.Err() != nil {
		t.Error(lines.Err())
	}
}

func TestAnswerThatBreaksOffIsNoCleanEnd(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream"} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, "data: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		resp, err := http.DefaultTransport.RoundTrip(r.request(t, "POST", "github", echo))
		if err != nil {
			continue // cut before the head was on its way
		}
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%s: the client takes it for whole", kind)
		}
		_ = resp.Body.Close()
	}
}

// A call that may have run is never sent again.
func TestNothingIsSentTwice(t *testing.T) {
	var calls atomic.Int32
	r := newRig(t, func(http.ResponseWriter, *http.Request) { calls.Add(1); panic(http.ErrAbortHandler) })
	resp, body := r.do(t, r.request(t, "POST", "github", echo))
	if resp.StatusCode != 502 || calls.Load() != 1 {
		t.Errorf("%d %s, sent %d times", resp.StatusCode, body, calls.Load())
	}
}

func TestDisconnect(t *testing.T) {
	for name, c := range map[string]struct {
		version   string
		cancelled bool
	}{"modern cancels": {"2026-07-28", true}, "legacy does not": {"2025-11-25", false}} {
		t.Run(name, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan bool, 1)
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				close(started)
				select {
				case <-req.Context().Done():
					ended <- true
				case <-time.After(500 * time.Millisecond):
					ended <- false
				}
			})
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-started; cancel() }()
			req := r.request(t, "POST", "github", echo, "MCP-Protocol-Version", c.version, "Mcp-Method", "tools/call").WithContext(ctx)
			if _, err := http.DefaultTransport.RoundTrip(req); err == nil {
				t.Fatal("the client did not leave")
			}
			if got := <-ended; got != c.cancelled {
				t.Errorf("cancelled: %v", got)
			}
		})
	}
}

// listen opens a listening stream and hands out its lines.
func listen(t *testing.T, r *rig, req *http.Request) (<-chan string, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := http.DefaultTransport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer resp.Body.Close()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines, cancel
}

func expectLine(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the stream ended before %q", want)
			}
			if line == want {
				return
			}
			if line != "" && !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "id:") {
				t.Fatalf("got %q, want %q", line, want)
			}
		case <-timeout:
			t.Fatalf("no %q", want)
		}
	}
}

func expectEnd(t *testing.T, lines <-chan string) {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return
			}
			if line != "" && !strings.HasPrefix(line, ":") {
				t.Fatalf("got %q before the end", line)
			}
		case <-timeout:
			t.Fatal("the stream does not end")
		}
	}
}

// A client's listening stream outlives its legs, and goes on where it stopped.
func TestListenerAcrossSleep(t *testing.T) {
	var legs atomic.Int32
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet {
			answerJSON(w, req)
			return
		}
		n := legs.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "id: e%d\ndata: leg %d after %q\n\n", n, n, req.Header.Get("Last-Event-ID"))
		_, _ = io.WriteString(w, mcp.SilenceComment)
	})
	lines, leave := listen(t, r, r.request(t, "GET", "github", "")) // while it sleeps
	defer leave()
	expectLine(t, lines, ": keep-alive")
	if n := r.deployer.ensured.Load(); n != 0 {
		t.Fatalf("a listener woke the server %d times", n)
	}
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
		t.Fatal("no call")
	}
	expectLine(t, lines, `data: leg 1 after ""`)
	expectLine(t, lines, `data: leg 2 after "e1"`)
	r.deployer.sleep()
	for len(lines) > 0 {
		<-lines
	}
	expectQuiet := legs.Load()
	time.Sleep(200 * time.Millisecond)
	if n := r.deployer.ensured.Load(); n != 1 || legs.Load() > expectQuiet+1 {
		t.Errorf("%d wakes, %d legs more", n, legs.Load()-expectQuiet)
	}
}

func TestListenerEnds(t *testing.T) {
	t.Run("by the server", func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			if req.Method == http.MethodGet {
				_, _ = io.WriteString(w, "data: last\n\n")
				return
			}
		})
		_, _ = r.do(t, r.request(t, "POST", "github", echo))
		lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
		defer leave()
		expectLine(t, lines, "data: last")
		expectEnd(t, lines)
	})
	t.Run("by a lost session", func(t *testing.T) {
		var lost atomic.Bool
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			if lost.Load() {
				http.Error(w, "session not found", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, mcp.SilenceComment)
		})
		_, _ = r.do(t, r.request(t, "POST", "github", echo))
		lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
		defer leave()
		lost.Store(true)
		expectEnd(t, lines)
	})
	t.Run("by its token", func(t *testing.T) {
		r := newRig(t, answerJSON)
		short := r.issuer.Token(t, "alice", public+"/mcp-connect/github", []string{"engineering"}, map[string]any{"exp": time.Now().Add(2 * time.Second).Unix()})
		lines, leave := listen(t, r, r.request(t, "GET", "github", "", "Authorization", "Bearer "+short))
		defer leave()
		expectEnd(t, lines)
	})
	t.Run("by the gateway's own end", func(t *testing.T) {
		r := newRig(t, answerJSON)
		lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
		defer leave()
		r.gateway.leave()
		expectEnd(t, lines)
	})
}

// The modern listener is a POST: it wakes the server once, is acknowledged once, and then sleeps on as the other does.
func TestModernListener(t *testing.T) {
	var legs atomic.Int32
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, req *http.Request) {
		n := legs.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: acknowledged\n\n")
		_, _ = fmt.Fprintf(w, "data: word %d\n\n", n)
		_, _ = io.WriteString(w, mcp.SilenceComment)
		_ = http.NewResponseController(w).Flush()
		if n == 2 {
			go r.deployer.sleep()
		}
	})
	lines, leave := listen(t, r, r.request(t, "POST", "github", `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen"}`,
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"))
	defer leave()
	expectLine(t, lines, "data: acknowledged")
	expectLine(t, lines, "data: word 1")
	expectLine(t, lines, "data: word 2")
	time.Sleep(200 * time.Millisecond)
	if n := r.deployer.ensured.Load(); n != 1 {
		t.Errorf("%d wakes", n)
	}
}

func TestTooManyStreams(t *testing.T) {
	r := newRig(t, answerJSON)
	for range 5 {
		_, leave := listen(t, r, r.request(t, "GET", "github", ""))
		defer leave()
	}
	if resp, body := r.do(t, r.request(t, "GET", "github", "")); resp.StatusCode != 429 {
		t.Errorf("the sixth stream: %d %s", resp.StatusCode, body)
	}
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
		t.Errorf("streams count as calls: %d", resp.StatusCode)
	}
}

// A connection that idles is closed by us, before the shim at its other end may leave.
func TestIdleConnectionsAreClosed(t *testing.T) {
	var open atomic.Int32
	r := newRig(t, answerJSON)
	r.version.Catalog.Servers[0].Scale.Idle = catalog.Duration(400 * time.Millisecond)
	r.deployer.connState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	for range 10 {
		if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
			t.Fatal("no call")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if open.Load() != 1 {
		t.Errorf("%d connections while calls come", open.Load())
	}
	time.Sleep(350 * time.Millisecond)
	if open.Load() != 0 {
		t.Errorf("%d connections idle on", open.Load())
	}
}
