package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/exchange"
)

// A server that refuses a call in a session that it knows has not lost it: nothing is begun, and the call is not sent again.
func TestRefusedCallIsNoLostSession(t *testing.T) {
	for _, status := range []int{400, 404} {
		server := newForgetful()
		r := newRig(t, server.ServeHTTP)
		sealed := r.initialize(t)
		server.denial = status
		server.seen()
		resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
		if messages, hellos := server.seen(); resp.StatusCode != status || hellos != nil || strings.Join(messages, ", ") != "POST tools/call inner-1" {
			t.Errorf("%d: %d %s, the server saw %q, %q", status, resp.StatusCode, body, messages, hellos)
		}
	}
}

// A server need not let clients end sessions (MCP 2025-11-25, transports, session management): one that does not goes on.
func TestRefusedEndIsNoEnd(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	server.denial = http.StatusMethodNotAllowed
	if resp, _ := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(sealed)...)); resp.StatusCode/100 == 2 {
		t.Errorf("ended: %d", resp.StatusCode)
	}
	server.denial = 0
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", resp.StatusCode, body)
	}
}

// Who asked first may leave: what they asked for is begun for those who come.
func TestSessionIsBegunThoughItsCallerLeft(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	server.restart("s")
	r.newLife()
	server.slow = 300 * time.Millisecond
	server.seen()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if resp, err := http.DefaultTransport.RoundTrip(r.request(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...).WithContext(ctx)); err == nil {
		resp.Body.Close()
		t.Fatalf("the first was answered: %s", resp.Status)
	}
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if _, hellos := server.seen(); len(hellos) != 1 {
		t.Errorf("begun %d times", len(hellos))
	}
}

// A client that says too much of itself cannot be spoken for again: its session ends with its server.
func TestLongIntroductionEndsWithItsServer(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	long := strings.Replace(hello, `"name":"c"`, `"name":"`+strings.Repeat("c", 2000)+`"`, 1)
	resp, _ := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+long+`}`)
	sealed := resp.Header.Get(mcp.HeaderSession)
	server.restart("s")
	r.newLife()
	server.seen()
	resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
	if messages, hellos := server.seen(); resp.StatusCode != 404 || !strings.Contains(body, "initialize again") || messages != nil || hellos != nil {
		t.Errorf("%d %s, the server saw %q, %q", resp.StatusCode, body, messages, hellos)
	}
	// Of a server that lost it alone, its client hears at once, from the server itself.
	resp, _ = r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+long+`}`)
	sealed = resp.Header.Get(mcp.HeaderSession)
	server.restart("s")
	if resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, r.within(sealed)...); resp.StatusCode != 404 {
		t.Errorf("a notification to the server that forgot it: %d %s", resp.StatusCode, body)
	}
}

// The revision is agreed on by initialize, and named from then on (MCP 2025-11-25, transports), also where the client names none.
func TestSessionIsBegunInItsRevision(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	for _, headers := range [][]string{r.within(sealed), {mcp.HeaderSession, sealed}} {
		server.restart("s")
		r.newLife()
		server.spoken = nil
		if resp, body := r.post(t, r.engineer(t), callTool("x"), headers...); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if got := strings.Join(server.spoken[:2], ", "); got != "initialize , notifications/initialized 2025-11-25" {
			t.Errorf("the server heard %q", got)
		}
	}
}

// A server that cannot begin now has not lost the session: its client comes again.
func TestSessionWaitsForItsServer(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	server.restart("s")
	r.newLife()
	server.broken = http.StatusInternalServerError
	server.seen()
	resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
	if messages, _ := server.seen(); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || len(messages) > 0 {
		t.Errorf("%d %s, the server saw %q", resp.StatusCode, body, messages)
	}
	server.broken = 0
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
		t.Errorf("later: %d %s", resp.StatusCode, body)
	}
}

// A server that runs elsewhere outlives the shim, and knows the session still: it is asked, and nothing is begun.
func TestRemoteSessionOutlivesTheShim(t *testing.T) {
	server := newForgetful()
	r := newRemote(t, server.ServeHTTP, nil)
	sealed := r.initialize(t)
	for _, restarted := range []bool{false, true} {
		if restarted {
			server.restart("s")
		}
		r.newLife()
		server.seen()
		if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if _, hellos := server.seen(); (len(hellos) > 0) != restarted {
			t.Errorf("restarted %v: begun %d times", restarted, len(hellos))
		}
	}
}

// What the server is sent in the caller's token's place goes along when their session is begun again, with all that is said
// for that: a server that asks for it would refuse the session, and its client would lose it.
func TestSessionIsBegunWithItsCredential(t *testing.T) {
	for name, started := range map[string]func(http.HandlerFunc) *rig{
		"beside the shim": func(h http.HandlerFunc) *rig { return newRig(t, h) },
		"elsewhere":       func(h http.HandlerFunc) *rig { return newRemote(t, h, nil).rig },
	} {
		t.Run(name, func(t *testing.T) {
			server := newForgetful()
			var mu sync.Mutex
			shown := map[string]int{}
			r := started(func(w http.ResponseWriter, q *http.Request) {
				mu.Lock()
				shown[q.Header.Get("Authorization")]++
				mu.Unlock()
				if q.Header.Get("Authorization") != "Bearer issued-1" {
					http.Error(w, "who asks?", http.StatusForbidden)
					return
				}
				server.ServeHTTP(w, q)
			})
			c, _ := tokenEndpoint(t)
			if name == "elsewhere" {
				var err error
				if c.Origin, err = egress.Origin(r.chain.forward.Upstream); err != nil {
					t.Fatal(err)
				}
			}
			r.give(t, c, exchange.Secrets{})
			sealed := r.initialize(t)
			server.restart("s")
			r.newLife()
			server.seen()
			resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
			messages, hellos := server.seen()
			if resp.StatusCode != 200 || len(hellos) != 1 || strings.Join(messages, ", ") != "POST notifications/initialized inner-2, POST tools/call inner-2" {
				t.Errorf("%d %s, the server saw %q, %q", resp.StatusCode, body, messages, hellos)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(shown) != 1 || shown["Bearer issued-1"] < 4 {
				t.Errorf("the server was shown %v", shown)
			}
		})
	}
}
