package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
)

// A session that the gateway began while the server slept is begun there with the first call, and the client keeps its id. It
// is its client's, and no other's.
func TestSessionOfTheGateway(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	key, err := lists.NewKey(make([]byte, lists.KeySize), "github")
	if err != nil {
		t.Fatal(err)
	}
	seal := func(k *lists.Key, subject string, opened time.Time) string {
		t.Helper()
		id, ok := k.SealSession(lists.Session{Params: hello, Version: "2025-11-25", Opened: opened}, "https://issuer.test", subject)
		if !ok {
			t.Fatal("too long")
		}
		return id
	}
	id := seal(key, "alice", time.Now())
	if resp, _ := r.post(t, r.engineer(t), callTool("x"), r.within(id)...); resp.StatusCode != 404 {
		t.Errorf("where the gateway gives none: %d", resp.StatusCode)
	}
	r.chain.lists = key
	if resp, _ := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","method":"notifications/initialized"}`, r.within(id)...); resp.StatusCode != 202 {
		t.Errorf("initialized: %d", resp.StatusCode)
	}
	for life := 1; life < 3; life++ {
		for range 2 {
			resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(id)...)
			if resp.StatusCode != 200 || !strings.Contains(body, `"ran":"tools/call"`) || resp.Header.Get(mcp.HeaderSession) != id {
				t.Fatalf("life %d: %d %s in %q", life, resp.StatusCode, body, resp.Header.Get(mcp.HeaderSession))
			}
		}
		if messages, hellos := server.seen(); len(hellos) != 1 || len(messages) != 3 || messages[0] != fmt.Sprintf("POST notifications/initialized inner-%d", life) {
			t.Errorf("life %d: the server saw %v after %v", life, messages, hellos)
		}
		server.restart("s")
		r.newLife()
	}
	names := map[string]bool{}
	for _, rec := range r.records.all()[2:] {
		names[rec.SessionID] = true
	}
	name := lists.SessionName(id)
	sum := sha256.Sum256(name[:])
	if len(names) != 1 || !names[fmt.Sprintf("%x", sum[:8])] {
		t.Errorf("one session is called %v", names)
	}

	another, _ := lists.NewKey([]byte(strings.Repeat("f", lists.KeySize)), "github")
	other, _ := lists.NewKey(make([]byte, lists.KeySize), "other")
	for what, id := range map[string]string{"another's": seal(key, "bob", time.Now()), "another server's": seal(other, "alice", time.Now()),
		"forged": seal(another, "alice", time.Now()), "expired": seal(key, "alice", time.Now().AddDate(0, 0, -31)), "altered": id[:len(id)-3] + "AAA"} {
		if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(id)...); resp.StatusCode != 404 || !strings.Contains(body, "initialize again") {
			t.Errorf("%s: %d %s", what, resp.StatusCode, body)
		}
	}
	if messages, hellos := server.seen(); len(messages)+len(hellos) != 0 {
		t.Errorf("the server saw %v, %v", messages, hellos)
	}
	if resp, _ := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(id)...)); resp.StatusCode != 204 {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
	if resp, _ := r.post(t, r.engineer(t), callTool("x"), r.within(id)...); resp.StatusCode != 404 {
		t.Errorf("after it: %d", resp.StatusCode)
	}
}
