package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
)

// A listener's connection is taken over from net/http, and still: who leaves takes the leg along, and is recorded once
// and as no fault. Both kinds.
func TestDetachedListenerLeaves(t *testing.T) {
	const note = `{"jsonrpc":"2.0","method":"notifications/x"}`
	const subscribe = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	requests := map[string]func(*rig) *http.Request{
		"GET": func(r *rig) *http.Request { return r.request(t, "GET", r.engineer(t), "") },
		"subscriptions/listen": func(r *rig) *http.Request {
			return r.request(t, "POST", r.engineer(t), subscribe, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
		},
	}
	for kind, request := range requests {
		t.Run(kind, func(t *testing.T) {
			left := make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: "+note+"\n\n")
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
				close(left)
			})
			r.chain.forward.Silence = time.Hour
			var taken atomic.Int32
			inner := httptest.NewUnstartedServer(r.chain)
			inner.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateHijacked {
					taken.Add(1)
				}
			}
			inner.Start()
			defer inner.Close()
			req := request(r)
			req.URL.Host = strings.TrimPrefix(inner.URL, "http://")
			ctx, leave := context.WithCancel(t.Context())
			resp, err := http.DefaultClient.Do(req.WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") || !resp.Close {
				t.Fatalf("got %d %q, %v", resp.StatusCode, line, err)
			}
			leave()
			select {
			case <-left:
			case <-time.After(10 * time.Second):
				t.Fatal("the leg goes on")
			}
			if err := r.chain.detached.Wait(t.Context()); err != nil || taken.Load() != 1 {
				t.Errorf("%v, %d connections taken over", err, taken.Load())
			}
			if rec := r.records.all(); len(rec) != 1 || rec[0].Outcome != audit.Forwarded || rec[0].Error != "" {
				t.Errorf("recorded %+v", rec)
			}
		})
	}
}

// Of what net/http keeps for a connection (two buffers, the request) nothing is left while a listener waits.
func TestDetachedListenerHoldsNoRequest(t *testing.T) {
	left := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		close(left)
	})
	r.chain.forward.Silence = time.Hour
	held := make(chan weak.Pointer[http.Request], 1)
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		held <- weak.Make(req) // net/http's response holds it, and with that whoever holds the response
		r.chain.ServeHTTP(w, req)
	}))
	defer inner.Close()
	req := r.request(t, "GET", r.engineer(t), "")
	req.URL.Host = strings.TrimPrefix(inner.URL, "http://")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	request := <-held
	for limit := time.Now().Add(5 * time.Second); request.Value() != nil; runtime.GC() {
		if time.Now().After(limit) {
			t.Fatal("the listener holds the request that it came with")
		}
	}
	select {
	case <-left:
		t.Error("the listener does not wait any more")
	default:
	}
}

func TestDrainingEndsListeners(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	r.chain.forward.Silence = time.Hour
	resp, err := http.DefaultClient.Do(r.request(t, "GET", r.engineer(t), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r.drain()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != mcp.SilenceComment {
		t.Errorf("got %q, %v", body, err)
	}
}
