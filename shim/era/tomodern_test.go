package era

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// modernServer knows no sessions. What a test does not say it does as the revision asks for.
type modernServer struct {
	answer func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled)

	hearing
}

func (s *modernServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m, _ := mcp.ParseLabelled(body)
	s.mu.Lock()
	s.heard = append(s.heard, strings.TrimSpace(r.Method+" "+m.Method))
	s.mu.Unlock()
	refuse := func(code int, text string) {
		(&mcp.Error{Status: 400, Code: code, Message: text, ID: m.ID.Token}).Write(w, "")
	}
	parsed, err := mcp.Parse(body)
	switch {
	case mcp.EraOf(r.Header) != mcp.Modern:
		refuse(mcp.CodeHeaderMismatch, "MCP-Protocol-Version is missing")
	case err != nil || mcp.CheckMatch(r.Header, parsed) != nil:
		refuse(mcp.CodeHeaderMismatch, fmt.Sprint(err, mcp.CheckMatch(r.Header, parsed)))
	case m.Version == nil || m.Capabilities == nil || r.Header.Get(mcp.HeaderSession) != "":
		refuse(mcp.CodeInvalidParams, "_meta")
	case m.Method == "server/discover":
		result(w, &m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"instructions":"be brief",`+
			`"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"new","version":"2"}}}`)
	default:
		s.answer(w, r, &m)
	}
}

// parrot answers with the params it got.
func parrot(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled) {
	result(w, m, `{"resultType":"complete","ttlMs":5,"cacheScope":"public","got":`+string(path(m.Raw(), "params"))+`}`)
}

const greeting = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{},"roots":{}},"clientInfo":{"name":"c","version":"1"}}}`

// session begins one, and returns what its exchanges have besides.
func (r *rig) session(t *testing.T, who string) []string {
	t.Helper()
	a := r.do(t, exchange(t, who, greeting))
	id := a.header.Get(mcp.HeaderSession)
	if id == "" || at(t, a.last(), "result", "protocolVersion") != `"2025-06-18"` {
		t.Fatalf("initialize: %d %s", a.status, a.last())
	}
	return []string{mcp.HeaderSession, id, mcp.HeaderVersion, "2025-06-18"}
}

// A legacy client has a session with a server that knows none, and each request says what the session did.
func TestLegacySession(t *testing.T) {
	server := &modernServer{answer: parrot}
	r := newRig(t, server)
	a := r.do(t, exchange(t, "alice", greeting))
	want := `{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"new","version":"2"},"instructions":"be brief"}`
	if got := at(t, a.last(), "result"); got != want || a.status != 200 {
		t.Errorf("initialize: %d\n%s\nwant\n%s", a.status, got, want)
	}
	s := r.session(t, "alice")
	for _, tc := range []struct{ body, want string }{
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, ""},
		{`{"jsonrpc":"2.0","id":"p","method":"ping"}`, `{"jsonrpc":"2.0","id":"p","result":{}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"loud"}}`, `-32602`},
		{`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"error"}}`, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"tasks/list"}`, `-32601`},
		{`{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, `-32601`},
		{`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"ä","arguments":{"n":1.0},"task":{},"requestState":"s","_meta":{"progressToken":"p","io.modelcontextprotocol/logLevel":"debug"}}}`,
			`{"jsonrpc":"2.0","id":7,"result":{"got":{"name":"ä","arguments":{"n":1.0},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
				`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},` +
				`"progressToken":"p","io.modelcontextprotocol/logLevel":"error"}}}}`},
	} {
		a := r.do(t, exchange(t, "alice", tc.body, s...))
		switch {
		case tc.want == "" && a.status == 202:
		case strings.HasPrefix(tc.want, "-") && a.status == 200 && at(t, a.last(), "error", "code") == tc.want:
		case a.status == 200 && a.last() == tc.want:
		default:
			t.Errorf("%s\n%d %s\nwant\n%s", tc.body, a.status, a.last(), tc.want)
		}
	}
	if n := server.count("POST tools/call"); n != 1 {
		t.Errorf("the call was sent %d times", n)
	}
}

// A session is its caller's, until it ends; whoever has none can ask for what needs none.
func TestLegacySessionIsItsCallers(t *testing.T) {
	r := newRig(t, &modernServer{answer: parrot})
	s := r.session(t, "alice")
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	if a := r.do(t, exchange(t, "bob", list, s...)); a.status != 404 {
		t.Errorf("another's: %d", a.status)
	}
	if a := r.do(t, exchange(t, "alice", list)); a.status != 200 || at(t, a.last(), "result", "got", "_meta", metaCapabilities) != `{}` {
		t.Errorf("without a session: %d %s", a.status, a.last())
	}
	if a := r.do(t, exchange(t, "alice", list, mcp.HeaderVersion, "1.0", mcp.HeaderSession, s[1])); a.status != 400 {
		t.Errorf("a version that is none: %d", a.status)
	}
	end := exchange(t, "alice", "", s...)
	end.Request.Method = http.MethodDelete
	if a := r.do(t, end); a.status != 204 {
		t.Errorf("end: %d", a.status)
	}
	if a := r.do(t, exchange(t, "alice", list, s...)); a.status != 404 {
		t.Errorf("ended: %d", a.status)
	}
}

// Errors are answers in the legacy era, not statuses.
func TestErrorsOfModernServer(t *testing.T) {
	r := newRig(t, &modernServer{answer: func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled) {
		(&mcp.Error{Status: 404, Code: mcp.CodeMethodNotFound, Message: "no", ID: m.ID.Token}).Write(w, "")
	}})
	a := r.do(t, exchange(t, "alice", `{"jsonrpc":"2.0","id":"x","method":"odd/method"}`, r.session(t, "alice")...))
	if a.status != 200 || a.last() != `{"jsonrpc":"2.0","id":"x","error":{"code":-32601,"message":"no"}}` {
		t.Errorf("%d %s", a.status, a.last())
	}
}

// A server that wants input gets it: the client is asked as sessions do, and its answers go where they belong.
func TestInputFromLegacyClient(t *testing.T) {
	server := &modernServer{}
	server.answer = func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) {
		params := path(m.Raw(), "params")
		switch state := string(path(params, "requestState")); state {
		case "":
			result(w, m, `{"resultType":"input_required","requestState":"one","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"?"}},"b":{"method":"roots/list"}}}`)
		case `"one"`:
			result(w, m, `{"resultType":"input_required","inputRequests":{"c":{"method":"elicitation/create","params":{}}},"requestState":`+
				string(text("two"+string(path(params, "inputResponses"))))+`}`)
		default:
			result(w, m, `{"resultType":"complete","first":`+state+`,"second":`+string(path(params, "inputResponses"))+`}`)
		}
	}
	r := newRig(t, server)
	s := r.session(t, "alice")
	resp, err := r.Exchange(t.Context(), exchange(t, "alice", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x"}}`, s...), r.send)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := map[string]string{`"era-`: ""}
	events := mcp.NewEventReader(resp.Body, 1<<20)
	var last string
	for {
		e, err := events.Next()
		if err != nil {
			break
		}
		last = string(e.Data)
		id := at(t, last, "id")
		switch at(t, last, "method") {
		case `"roots/list"`:
			answers["roots"] = `{"jsonrpc":"2.0","id":` + id + `,"result":{"roots":[]}}`
		case `"elicitation/create"`:
			answers["elicit"] = `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept","content":{"n":1}}}`
			if answers["roots"] == "gone" {
				answers["elicit"] = `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-1,"message":"no"}}`
			}
		}
		for _, name := range []string{"roots", "elicit"} {
			if body := answers[name]; body != "" && body != "gone" {
				if a := r.do(t, exchange(t, "alice", body, s...)); a.status != 202 {
					t.Errorf("answer: %d %s", a.status, a.last())
				}
				answers[name] = "gone"
			}
		}
	}
	want := `{"jsonrpc":"2.0","id":5,"result":{"first":` + string(text(`two{"a":{"action":"accept","content":{"n":1}},"b":{"roots":[]}}`)) + `,"second":{"c":{"action":"cancel"}}}}`
	if last != want {
		t.Errorf("\n%s\nwant\n%s", last, want)
	}
	if n := server.count("POST tools/call"); n != 3 {
		t.Errorf("%d rounds", n)
	}
}

// A client that cancels its request ends it at the server, which sees the connection go.
func TestCancelledByLegacyClient(t *testing.T) {
	gone := make(chan struct{})
	r := newRig(t, &modernServer{answer: func(w http.ResponseWriter, r *http.Request, _ *mcp.Labelled) {
		streamed(w)(`{"jsonrpc":"2.0","method":"notifications/x"}`)
		<-r.Context().Done()
		close(gone)
	}})
	s := r.session(t, "alice")
	done := make(chan answer)
	go func() {
		done <- r.do(t, exchange(t, "alice", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x"}}`, s...))
	}()
	v := r.visits.find(s[1], exchange(t, "alice", "").Caller())
	eventually(t, "under way", func() bool { v.mu.Lock(); defer v.mu.Unlock(); return len(v.calls) == 1 })
	r.do(t, exchange(t, "alice", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}`, s...))
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the server works on")
	}
	if a := <-done; at(t, a.last(), "error", "code") != "-32603" {
		t.Errorf("%s", a.last())
	}
}

// The session's stream says what the server says to who listens, for the resources that the session subscribed to.
func TestNewsForLegacySession(t *testing.T) {
	filters := make(chan string, 4)
	r := newRig(t, &modernServer{answer: func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) {
		if m.Method != "subscriptions/listen" {
			parrot(w, r, m)
			return
		}
		filters <- string(path(m.Raw(), "params", "notifications"))
		say := streamed(w)
		tag := `"_meta":{"io.modelcontextprotocol/subscriptionId":` + string(m.ID.Token) + `}`
		say(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{%s,"notifications":{}}}`, tag)
		say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{%s}}`, tag)
		say(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1",%s}}`, tag)
		<-r.Context().Done()
	}})
	s := r.session(t, "alice")
	get := exchange(t, "alice", "", s...)
	get.Request.Method = http.MethodGet
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := r.Exchange(ctx, get, r.send)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := mcp.NewEventReader(resp.Body, 1<<20)
	const all = `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true`
	for i, want := range []string{all + `}`, all + `,"resourceSubscriptions":["a:1"]}`, all + `}`} {
		if got := <-filters; got != want {
			t.Errorf("%d: asked for %s, want %s", i, got, want)
		}
		for _, want := range []string{`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}`} {
			if e, err := events.Next(); string(e.Data) != want {
				t.Errorf("%d: %s %v, want %s", i, e.Data, err, want)
			}
		}
		method := []string{"resources/subscribe", "resources/unsubscribe", "ping"}[i]
		r.do(t, exchange(t, "alice", `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{"uri":"a:1"}}`, s...))
	}
}

// Arguments that the server wants in headers are there, from the first call on that it refused for want of them.
func TestArgumentsInHeaders(t *testing.T) {
	const schema = `{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"object","properties":{"i":{"type":"integer","x-mcp-header":"I"}}},` +
		`"list":{"type":"array","items":{"properties":{"no":{"x-mcp-header":"No"}}}},"bad":{"type":"string","x-mcp-header":"a b"}}}`
	server := &modernServer{}
	server.answer = func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) {
		h := r.Header
		switch {
		case m.Method == "tools/list" && path(m.Raw(), "params", "cursor") == nil:
			result(w, m, `{"resultType":"complete","tools":[{"name":"other"}],"nextCursor":"c"}`)
		case m.Method == "tools/list":
			result(w, m, `{"resultType":"complete","tools":[{"name":"x","inputSchema":`+schema+`}]}`)
		case h.Get("Mcp-Param-Region") != "=?base64?w6Q=?=" || h.Get("Mcp-Param-I") != "7" || h.Get("Mcp-Param-No") != "":
			(&mcp.Error{Status: 400, Code: mcp.CodeHeaderMismatch, Message: "headers", ID: m.ID.Token}).Write(w, "")
		default:
			parrot(w, r, m)
		}
	}
	r := newRig(t, server)
	s := r.session(t, "alice")
	for i := range 2 {
		a := r.do(t, exchange(t, "alice", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x","arguments":{"region":"ä","n":{"i":7},"bad":"b"}}}`, s...))
		if at(t, a.last(), "result", "got") == "" {
			t.Errorf("%d: %s", i, a.last())
		}
	}
	if calls, lists := server.count("POST tools/call"), server.count("POST tools/list"); calls != 3 || lists != 2 {
		t.Errorf("%d calls, %d lists", calls, lists)
	}
}

// Sessions are bounded for each caller.
func TestVisitsAreBounded(t *testing.T) {
	s := visits{all: map[string]*visit{}}
	c := client{info: text("x"), capabilities: text("y")}
	other, _ := s.begin("bob", c)
	first, _ := s.begin("alice", c)
	for range visitsOfOne {
		if _, err := s.begin("alice", c); err != nil {
			t.Fatal(err)
		}
	}
	if s.find(first.id, "alice") != nil || s.find(other.id, "bob") == nil || len(s.all) != visitsOfOne+1 {
		t.Errorf("%d sessions", len(s.all))
	}
	if _, err := s.begin("bob", client{info: make(mcp.Token, maxClient+1)}); err == nil {
		t.Error("a long introduction was taken")
	}
}

// A page to lead a person to has the id that sessions know pages by, and is asked for only where the client leads anybody.
func TestPagesForLegacyClients(t *testing.T) {
	r := newRig(t, &modernServer{answer: func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled) {
		result(w, m, `{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"u:v","message":"m"}}}}`)
	}})
	const call = `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x"}}`
	if a := r.do(t, exchange(t, "alice", call, r.session(t, "alice")...)); a.status != 502 {
		t.Errorf("to a client that leads nobody: %d %s", a.status, a.last())
	}
	a := r.do(t, exchange(t, "alice", strings.Replace(greeting, `"elicitation":{}`, `"elicitation":{"url":{}}`, 1)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := r.Exchange(ctx, exchange(t, "alice", call, mcp.HeaderSession, a.header.Get(mcp.HeaderSession)), r.send)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	e, err := mcp.NewEventReader(resp.Body, 1<<20).Next()
	if err != nil || at(t, string(e.Data), "params", "elicitationId") == "" || at(t, string(e.Data), "params", "url") != `"u:v"` {
		t.Errorf("%s %v", e.Data, err)
	}
}
