package era

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mcpgateway/internal/mcp"
)

// What servers answer to server/discover, and what that makes of them.
func TestErasOf(t *testing.T) {
	result := func(r string) string { return `{"jsonrpc":"2.0","id":0,"result":` + r + `}` }
	fault := func(e string) string { return `{"jsonrpc":"2.0","id":0,"error":` + e + `}` }
	const legacy, modernOnly = lacksModern | speaksLegacy, speaksModern | lacksLegacy
	for message, want := range map[string]eras{
		result(`{"supportedVersions":["2026-07-28"]}`):              modernOnly,
		result(`{"supportedVersions":["2026-07-28","2027-01-01"]}`): modernOnly,
		result(`{"supportedVersions":["2026-07-28","2025-11-25"]}`): speaksModern | listsLegacy,
		result(`{"supportedVersions":["2027-01-01"]}`):              speaksModern,
		result(`{"supportedVersions":["2025-11-25"]}`):              legacy,
		result(`{"supportedVersions":"2026-07-28"}`):                legacy,
		result(`{}`):                            legacy,
		result(`[]`):                            legacy,
		fault(`{"code":-32601,"message":"no"}`): legacy,
		fault(`{"code":-32000,"message":"no"}`): legacy,
		fault(`{"code":-32020,"message":"no"}`): speaksModern,
		fault(`{"code":-32021,"message":"no"}`): speaksModern,
		fault(`{"code":-32022,"message":"no"}`): speaksModern,
		fault(`{"code":-32022,"message":"no","data":{"supported":["2027-01-01"]}}`): speaksModern,
		fault(`{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}`): legacy,
		`not found`: legacy, ``: legacy, `[]`: legacy, `{"jsonrpc":"2.0","id":0,"result":{},"result":{}}`: legacy,
	} {
		if got := erasOf([]byte(message)); got != want {
			t.Errorf("%s: %b, want %b", message, got, want)
		}
	}
}

// However many come at once, the server is asked once; and nothing but the question before that.
func TestAskedOnce(t *testing.T) {
	server := newLegacyServer(echo)
	r := newRig(t, server)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if a := r.do(t, modernExchange(t, "alice", modernBody(fmt.Sprint(i), "tools/call", `"name":"x"`, ""))); a.status != 200 {
				t.Errorf("%d %s", a.status, a.last())
			}
		})
	}
	all.Wait()
	if heard := server.list(); heard[0] != "POST server/discover" || server.count("POST server/discover") != 1 || server.begun != 1 || server.count("POST tools/call") != 20 {
		t.Errorf("heard %q", heard)
	}
}

// Where client and server speak the same era, bytes go as they came; a session's beginning is question enough.
func TestSameEra(t *testing.T) {
	var asked atomic.Int32
	var last atomic.Value
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "server/discover") {
			asked.Add(1)
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"supportedVersions":["2026-07-28","2025-11-25"]}}`)
			return
		}
		last.Store(string(body))
		if strings.Contains(string(body), "initialize") {
			w.Header().Set(mcp.HeaderSession, "s")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"} }`)
			return
		}
		_, _ = io.WriteString(w, ` {"jsonrpc":"2.0","id":1,"result":{} }`)
	})
	r := newRig(t, server)
	legacy := `{"jsonrpc":"2.0", "id":1,"method":"tools/list"}`
	if a := r.do(t, exchange(t, "alice", greeting)); a.last() != `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"} }` || a.header.Get(mcp.HeaderSession) != "s" {
		t.Errorf("initialize: %s", a.last())
	}
	if a := r.do(t, exchange(t, "alice", legacy, mcp.HeaderSession, "s")); a.last() != ` {"jsonrpc":"2.0","id":1,"result":{} }` || last.Load() != legacy || asked.Load() != 0 {
		t.Errorf("legacy: %s of %s, asked %d times", a.last(), last.Load(), asked.Load())
	}
	modern := modernBody("1", "tools/list", "", "")
	for range 2 {
		if a := r.do(t, modernExchange(t, "alice", modern)); a.last() != ` {"jsonrpc":"2.0","id":1,"result":{} }` || last.Load() != modern || asked.Load() != 1 {
			t.Errorf("modern: %s of %s, asked %d times", a.last(), last.Load(), asked.Load())
		}
	}
}

// A server that does not say what it speaks gets what the client says, and is asked again the next time.
func TestServerThatDoesNotSay(t *testing.T) {
	var asked, calls atomic.Int32
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if strings.Contains(string(body), "server/discover") {
			asked.Add(1)
		} else {
			calls.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	for range 2 {
		if a := r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, ""))); a.status != 503 {
			t.Errorf("%d %s", a.status, a.last())
		}
	}
	if asked.Load() != 2 || calls.Load() != 2 {
		t.Errorf("asked %d times, called %d times", asked.Load(), calls.Load())
	}
	gone := newRig(t, http.NotFoundHandler())
	gone.server.Close()
	if a := gone.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, ""))); a.status != 502 || !strings.Contains(a.last(), "nothing else was sent") {
		t.Errorf("%d %s", a.status, a.last())
	}
}
