package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/rules"
	"mcpgateway/shim/exchange"
)

// accounts is a token endpoint that gives a token to who has connected an account, and else names its page for that.
func accounts(t *testing.T) (c rules.Credentials, page string, connected *atomic.Bool) {
	t.Helper()
	connected = &atomic.Bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if connected.Load() {
			_, _ = io.WriteString(w, `{"access_token":"theirs","token_type":"Bearer","expires_in":3600}`)
			return
		}
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":"interaction_required","error_uri":"http://`+r.Host+`/connect/github"}`)
	}))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return rules.Credentials{Exchange: &rules.Exchange{Grant: rules.GrantTokenExchange, URL: s.URL + "/token", Egress: "127.0.0.1/32 " + port,
		SubjectTokenType: "access_token", RequestedTokenType: "access_token", Client: rules.Client{ID: "shim", Auth: rules.AuthNone}}}, s.URL + "/connect/github", connected
}

// leads is how an answer leads to a page.
type leads struct {
	ID    int
	Error struct {
		Code    int
		Message string
		Data    struct {
			Elicitations []struct{ Mode, URL, ElicitationID, Message string }
		}
	}
	Result struct {
		ResultType    string
		InputRequests map[string]struct {
			Method string
			Params map[string]string
		}
	}
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":`

// Who has not connected an account at the server is led to where they do so, in the way that their client knows.
func TestLedToConnect(t *testing.T) {
	server := &recorder{}
	r := newRig(t, server.ServeHTTP)
	c, page, connected := accounts(t)
	r.give(t, c, exchange.Secrets{})
	modern := func(method string) []string {
		return []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method, "Mcp-Name", "x"}
	}
	call := func(capabilities string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x",` + modernMeta + capabilities + `}}}`
	}
	initialize := func(capabilities string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":` + capabilities + `,"clientInfo":{"name":"c","version":"1"}}}`
	}
	for _, tt := range []struct {
		name, body string
		header     []string
		code       int  // 0: a result that asks
		elicits    bool // else the text has the address
	}{
		{"modern", call(`{"elicitation":{"url":{}}}`), modern("tools/call"), 0, true},
		{"modern, forms only", call(`{"elicitation":{"form":{}}}`), modern("tools/call"), -32001, false},
		{"modern, of old", call(`{"elicitation":{}}`), modern("tools/call"), -32001, false},
		{"modern, without", call(`{}`), modern("tools/call"), -32001, false},
		{"modern list", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + modernMeta + `{"elicitation":{"url":{}}}}}}`,
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"}, -32001, false},
		{"legacy begins", initialize(`{"elicitation":{"url":{},"form":{}}}`), nil, -32042, true},
		{"legacy begins, without", initialize(`{}`), nil, -32001, false},
		{"legacy call of nobody known", callTool("x"), nil, -32001, false},
	} {
		resp, body := r.post(t, r.engineer(t), tt.body, tt.header...)
		var got leads
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 || got.ID != 1 || got.Error.Code != tt.code || len(server.all()) != 0 {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
			continue
		}
		elicited := got.Error.Data.Elicitations
		if tt.elicits && tt.code != 0 && (len(elicited) != 1 || elicited[0].Mode != "url" || elicited[0].URL != page || elicited[0].ElicitationID == "" || elicited[0].Message == "") {
			t.Errorf("%s: %s", tt.name, body)
		}
		asks := got.Result.InputRequests["mcpgateway_connect"]
		if tt.code == 0 && (got.Result.ResultType != "input_required" || asks.Method != "elicitation/create" || asks.Params["mode"] != "url" || asks.Params["url"] != page) {
			t.Errorf("%s: %s", tt.name, body)
		}
		if tt.code != 0 && !strings.Contains(got.Error.Message, page) || !tt.elicits && len(elicited) != 0 {
			t.Errorf("%s: %s", tt.name, body)
		}
	}
	for _, record := range r.records.all() {
		if record.ResponseStatus != 200 || !strings.Contains(record.Error, "interaction_required") {
			t.Errorf("recorded %+v", record)
		}
	}
	for _, q := range []struct{ method, body string }{{"GET", ""}, {"DELETE", ""}, {"POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`}} {
		if resp, body := r.do(t, r.request(t, q.method, r.engineer(t), q.body)); resp.StatusCode != 403 || !strings.Contains(body, page) {
			t.Errorf("%s: %d %s", q.method, resp.StatusCode, body)
		}
	}
	connected.Store(true)
	carol := r.issuer.Token(t, "carol", resource, []string{"engineering"}, nil)
	if resp, body := r.post(t, carol, callTool("x")); resp.StatusCode != 200 || len(server.all()) != 1 || !strings.HasPrefix(server.all()[0], "POST Bearer theirs ") {
		t.Errorf("who is connected: %d %s, the server was sent %v", resp.StatusCode, body, server.all())
	}
}

// Who agreed to go to the page is waited for: the call that their client sends again is answered when they are done.
func TestConnectIsWaitedFor(t *testing.T) {
	server := &recorder{}
	r := newRig(t, server.ServeHTTP)
	c, page, connected := accounts(t)
	r.give(t, c, exchange.Secrets{})
	again := func(responses string) (int, string, time.Duration) {
		began := time.Now()
		resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x","inputResponses":`+responses+`,`+modernMeta+`{"elicitation":{"url":{}}}}}}`,
			"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "x")
		return resp.StatusCode, body, time.Since(began)
	}
	for _, responses := range []string{`{}`, `{"other":{"action":"accept"}}`, `{"mcpgateway_connect":{"action":"decline"}}`, `{"mcpgateway_connect":[]}`, `null`} {
		if status, body, took := again(responses); status != 200 || !strings.Contains(body, page) || took > glance {
			t.Errorf("%s: %d %s after %v", responses, status, body, took)
		}
	}
	time.AfterFunc(glance/2, func() { connected.Store(true) })
	if status, body, took := again(`{"mcpgateway_connect":{"action":"accept"}}`); status != 200 || strings.Contains(body, page) || took < glance/2 || len(server.all()) != 1 {
		t.Errorf("%d %s after %v", status, body, took)
	}
}

// What a client of a session can do was said at its begin.
func TestLedToConnectInSession(t *testing.T) {
	for capabilities, code := range map[string]int{`{"elicitation":{"url":{}}}`: -32042, `{"elicitation":{"form":{}}}`: -32001} {
		server := newForgetful()
		r := newRig(t, server.ServeHTTP)
		resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":`+capabilities+`,"clientInfo":{"name":"c","version":"1"}}}`)
		sealed := resp.Header.Get("Mcp-Session-Id")
		if resp.StatusCode != 200 || sealed == "" {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		c, page, _ := accounts(t)
		r.give(t, c, exchange.Secrets{})
		_, body = r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
		var got leads
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.Error.Code != code || !strings.Contains(got.Error.Message, page) ||
			(len(got.Error.Data.Elicitations) == 1) != (code == -32042) {
			t.Errorf("%s: %s", capabilities, body)
		}
	}
}

// An account that the server does not know any more leads there, too.
func TestLedToConnectAgain(t *testing.T) {
	server := &recorder{}
	r := newRig(t, server.ServeHTTP)
	c, page, connected := accounts(t)
	connected.Store(true)
	r.give(t, c, exchange.Secrets{})
	server.refuse = func(string) bool { connected.Store(false); return true }
	resp, body := r.post(t, r.engineer(t), callTool("x"))
	var got leads
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 || got.ID != 1 || got.Error.Code != -32001 || !strings.Contains(got.Error.Message, page) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
