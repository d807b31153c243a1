package era

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// echo answers everything with what it was sent.
func echo(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) {
	result(w, m, `{"params":`+string(path(m.Raw(), "params"))+`,"later":[1.0,{"unknown":"kept"}]}`)
}

// A request of a modern client arrives in a session, without what only its revision has, and its answer has what that needs.
func TestModernRequestInSession(t *testing.T) {
	server := newLegacyServer(echo)
	r := newRig(t, server)
	a := r.do(t, modernExchange(t, "alice", modernBody(`"a"`, "tools/list", `"cursor":"c","odd":1.50`, `"progressToken":"p","x.test/y":{"z":1}`)))
	want := `{"jsonrpc":"2.0","id":"a","result":{"params":{"cursor":"c","odd":1.50,"_meta":{"progressToken":1,"x.test/y":{"z":1}}},` +
		`"later":[1.0,{"unknown":"kept"}],"resultType":"complete","ttlMs":0,"cacheScope":"private",` +
		`"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"old","version":"1"}}}}`
	if a.status != 200 || a.last() != want {
		t.Errorf("%d\n%s\nwant\n%s", a.status, a.last(), want)
	}
	a = r.do(t, modernExchange(t, "alice", modernBody(`7`, "tools/call", `"name":"x","arguments":{}`, "")))
	if at(t, a.last(), "result", "resultType") != `"complete"` || at(t, a.last(), "result", "ttlMs") != "" || at(t, a.last(), "id") != "7" {
		t.Errorf("call: %s", a.last())
	}
	want = "POST server/discover,POST initialize,POST notifications/initialized,POST tools/list,GET,POST tools/call"
	if got := strings.Join(server.list(), ","); got != want || server.begun != 1 {
		t.Errorf("the server heard %s in %d sessions", got, server.begun)
	}
}

// server/discover is answered from what the server said when the session began.
func TestDiscover(t *testing.T) {
	r := newRig(t, newLegacyServer(echo))
	a := r.do(t, modernExchange(t, "alice", modernBody(`1`, "server/discover", "", "")))
	want := `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{}},` +
		`"instructions":"be kind","resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"old","version":"1"}}}`
	if got := at(t, a.last(), "result"); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

// What a modern server refuses is refused, and never reaches the server.
func TestRefusedRequests(t *testing.T) {
	server := newLegacyServer(echo)
	r := newRig(t, server)
	const version = `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`
	for name, tc := range map[string]struct {
		body         string
		status, code int
	}{
		"no _meta":        {`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 400, mcp.CodeInvalidParams},
		"no capabilities": {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{` + version + `}}}`, 400, mcp.CodeInvalidParams},
		"capabilities that are none": {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{` + version +
			`,"io.modelcontextprotocol/clientCapabilities":true}}}`, 400, mcp.CodeInvalidParams},
		"initialize":      {modernBody("1", "initialize", "", ""), 404, mcp.CodeMethodNotFound},
		"ping":            {modernBody("1", "ping", "", ""), 404, mcp.CodeMethodNotFound},
		"level":           {modernBody("1", "logging/setLevel", `"level":"debug"`, ""), 404, mcp.CodeMethodNotFound},
		"subscribe":       {modernBody("1", "resources/subscribe", `"uri":"a:b"`, ""), 404, mcp.CodeMethodNotFound},
		"legacy tasks":    {modernBody("1", "tasks/result", `"taskId":"t"`, ""), 404, mcp.CodeMethodNotFound},
		"state of nobody": {modernBody("1", "tools/call", `"name":"x","requestState":"AAAA","inputResponses":{}`, ""), 400, mcp.CodeInvalidParams},
	} {
		a := r.do(t, modernExchange(t, "alice", tc.body))
		if a.status != tc.status || at(t, a.last(), "error", "code") != string(number(int64(tc.code))) || at(t, a.last(), "id") != "1" {
			t.Errorf("%s: %d %s", name, a.status, a.last())
		}
	}
	if n := len(server.list()); n != 1 {
		t.Errorf("the server heard %q", server.list())
	}
}

// A revision of the future is refused with those that are spoken, in the header's form of either era.
func TestUnsupportedRevision(t *testing.T) {
	r := newRig(t, newLegacyServer(echo))
	for _, version := range []string{"2027-01-01", "v999.0.0"} {
		body := strings.ReplaceAll(modernBody("1", "tools/list", "", ""), mcp.ModernVersion, version)
		a := r.do(t, exchange(t, "alice", body, mcp.HeaderVersion, version))
		if a.status != 400 || at(t, a.last(), "error", "code") != "-32022" || at(t, a.last(), "error", "data") != `{"supported":["2026-07-28"],"requested":"`+version+`"}` {
			t.Errorf("%s: %d %s", version, a.status, a.last())
		}
	}
}

// Errors have the codes and statuses of the client's revision.
func TestErrorsOfLegacyServer(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		code   string
	}{"-32002": {200, "-32602"}, "-32601": {404, "-32601"}, "-32021": {400, "-32021"}, "-32603": {200, "-32603"}, "7": {200, "7"}} {
		r := newRig(t, newLegacyServer(func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) {
			streamed(w)(`{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"no","data":{"uri":"a:b"}}}`, m.ID.Token, code)
		}))
		a := r.do(t, modernExchange(t, "alice", modernBody("1", "resources/read", `"uri":"a:b"`, "")))
		if a.status != want.status || at(t, a.last(), "error") != `{"code":`+want.code+`,"message":"no","data":{"uri":"a:b"}}` {
			t.Errorf("%s: %d %s", code, a.status, a.last())
		}
	}
}

// Callers, and clients of one caller that can do different things, have sessions of their own.
func TestSessionsAreNotShared(t *testing.T) {
	server := newLegacyServer(echo)
	r := newRig(t, server)
	able := modernBody("1", "tools/list", "", "")
	unable := strings.Replace(able, `{"elicitation":{},"sampling":{}}`, `{}`, 1)
	for i, tc := range []struct {
		who, body string
		begun     int
	}{{"alice", able, 1}, {"bob", able, 2}, {"alice", able, 2}, {"alice", unable, 3}, {"bob", able, 3}} {
		if a := r.do(t, modernExchange(t, tc.who, tc.body)); a.status != 200 || server.begun != tc.begun {
			t.Errorf("%d: %d, %d sessions", i, a.status, server.begun)
		}
	}
	if server.sessions["session-3"] != `{}` || server.sessions["session-1"] != `{"elicitation":{},"sampling":{}}` {
		t.Errorf("capabilities: %v", server.sessions)
	}
}

// A session that the server lost is begun again, and nothing that may have run is sent twice.
func TestLostSession(t *testing.T) {
	server := newLegacyServer(echo)
	r := newRig(t, server)
	call := modernBody("1", "tools/call", `"name":"x"`, "")
	for range 2 {
		if a := r.do(t, modernExchange(t, "alice", call)); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.last())
		}
		server.forget()
	}
	if server.begun != 2 || server.count("POST tools/call") != 3 { // one of them was refused with 404
		t.Errorf("%d sessions, heard %q", server.begun, server.list())
	}
	server.tools = func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) {
		if m.Method == "ping" {
			result(w, m, "{}")
			return
		}
		http.Error(w, "bad arguments", http.StatusBadRequest)
	}
	before := server.count("POST tools/call")
	r.do(t, modernExchange(t, "alice", call)) // begins a session
	if a := r.do(t, modernExchange(t, "alice", call)); a.status != 502 {
		t.Errorf("%d %s", a.status, a.last())
	}
	if n := server.count("POST tools/call") - before; n != 3 { // 404; 400; 400
		t.Errorf("sent %d times", n)
	}
}

// What the server reports of a request's progress has the client's token; log messages come to those who asked for them.
func TestNotificationsOfARequest(t *testing.T) {
	r := newRig(t, newLegacyServer(func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) {
		if m.Method == "logging/setLevel" {
			result(w, m, "{}")
			return
		}
		say := streamed(w)
		token := path(m.Raw(), "params", "_meta", "progressToken")
		say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`, token)
		say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":999,"progress":1}}`)
		say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"i"}}`)
		say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"e"}}`)
		say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		say(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID.Token)
	}))
	const progress, fault = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}`,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"e"}}`
	for meta, want := range map[string]string{
		`"progressToken":"p"`: progress,
		`"progressToken":"p","io.modelcontextprotocol/logLevel":"warning"`: progress + fault,
		`"progressToken":"p","io.modelcontextprotocol/logLevel":"none"`:    progress,
	} {
		a := r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, meta)))
		if got := strings.Join(a.messages[:len(a.messages)-1], ""); got != want || !a.stream {
			t.Errorf("%s:\n%s\nwant\n%s", meta, got, want)
		}
	}
}

// A client that leaves cancels its request at the server.
func TestLeavingCancels(t *testing.T) {
	server := newLegacyServer(nil)
	server.tools = func(w http.ResponseWriter, r *http.Request, _ *mcp.Labelled, _ *legacyServer) {
		streamed(w)(`{"jsonrpc":"2.0","method":"notifications/x"}`)
		<-r.Context().Done()
	}
	r := newRig(t, server)
	for i := range 10 {
		ctx, leave := context.WithCancel(t.Context())
		resp, err := r.Exchange(ctx, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, "")), r.send)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		eventually(t, "cancelled", func() bool { return server.count("POST notifications/cancelled") == i+1 })
		_ = resp.Body.Close()
	}
	eventually(t, "unused", func() bool { r.kept.mu.Lock(); defer r.kept.mu.Unlock(); return only(r.kept.all).using == 0 })
}

func only(all map[string]*kept) *kept {
	for _, k := range all {
		return k
	}
	return &kept{}
}

// A stream that the server ends before the answer is gone on with where it said how (SEP-1699).
func TestResumedStream(t *testing.T) {
	server := newLegacyServer(nil)
	server.tools = func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled, _ *legacyServer) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("id: 5\nretry: 10\ndata: \n\n"))
			return
		}
		if r.Header.Get("Last-Event-Id") != "5" {
			t.Errorf("resumed from %q", r.Header.Get("Last-Event-Id"))
		}
		streamed(w)(`{"jsonrpc":"2.0","id":1,"result":{"a":1}}`)
	}
	r := newRig(t, server)
	began := time.Now()
	a := r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, "")))
	if at(t, a.last(), "result", "a") != "1" || time.Since(began) > resumeAfter || server.count("POST tools/call") != 1 {
		t.Errorf("%s after %v", a.last(), time.Since(began))
	}
}
