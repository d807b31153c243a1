package era

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
)

// asking asks the client for two things at once, then for one, and answers with what it got.
func asking(w http.ResponseWriter, r *http.Request, m *mcp.Labelled, s *legacyServer) {
	say := streamed(w)
	say(`{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{"message":"a?","mode":"url","url":"u:v","elicitationId":"e"}}`)
	say(`{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{"maxTokens":1}}`)
	first, second := s.reply(r), s.reply(r)
	say(`{"jsonrpc":"2.0","id":"q3","method":"elicitation/create","params":{"message":"b?"}}`)
	third := s.reply(r)
	say(`{"jsonrpc":"2.0","id":%s,"result":{"got":[%s,%s,%s]}}`, m.ID.Token, first, second, third)
}

func retry(id, state, responses string) string {
	return modernBody(id, "tools/call", fmt.Sprintf(`"name":"x","arguments":{"n":1},"requestState":%s,"inputResponses":%s`, state, responses), "")
}

// What a server asks its client becomes rounds, in which each answer finds its question.
func TestRounds(t *testing.T) {
	server := newLegacyServer(asking)
	r := newRig(t, server)
	a := r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x","arguments":{"n":1}`, "")))
	want := `{"input-1":{"method":"elicitation/create","params":{"message":"a?","mode":"url","url":"u:v"}},"input-2":{"method":"sampling/createMessage","params":{"maxTokens":1}}}`
	if got := at(t, a.last(), "result", "inputRequests"); got != want || at(t, a.last(), "result", "resultType") != `"input_required"` {
		t.Fatalf("%s", a.last())
	}
	state := at(t, a.last(), "result", "requestState")
	// Some of it is missing, or nonsense: that is asked for again.
	a = r.do(t, modernExchange(t, "alice", retry("2", state, `{"input-1":{"action":"accept"},"input-2":7,"input-9":{}}`)))
	if got := at(t, a.last(), "result", "inputRequests"); got != `{"input-2":{"method":"sampling/createMessage","params":{"maxTokens":1}}}` {
		t.Fatalf("again: %s", a.last())
	}
	next := at(t, a.last(), "result", "requestState")
	if next == state {
		t.Error("two rounds have one state")
	}
	a = r.do(t, modernExchange(t, "alice", retry("3", next, `{"input-2":{"model":"m"}}`)))
	if got := at(t, a.last(), "result", "inputRequests"); !strings.HasPrefix(got, `{"input-3":`) {
		t.Fatalf("second round: %s", a.last())
	}
	a = r.do(t, modernExchange(t, "alice", retry(`"four"`, at(t, a.last(), "result", "requestState"), `{"input-3":{"action":"decline"}}`)))
	want = `[{"jsonrpc":"2.0","id":"q1","result":{"action":"accept"}},{"jsonrpc":"2.0","id":2,"result":{"model":"m"}},{"jsonrpc":"2.0","id":"q3","result":{"action":"decline"}}]`
	if got := at(t, a.last(), "result", "got"); got != want || at(t, a.last(), "id") != `"four"` {
		t.Errorf("%s", a.last())
	}
	if n := server.count("POST tools/call"); n != 1 {
		t.Errorf("the call was sent %d times", n)
	}
}

// A state is one caller's, for one request, once.
func TestStateIsBound(t *testing.T) {
	r := newRig(t, newLegacyServer(asking))
	begin := func() string {
		a := r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x","arguments":{"n":1}`, "")))
		return at(t, a.last(), "result", "requestState")
	}
	state := begin()
	answers := `{"input-1":{},"input-2":{}}`
	for h := range r.rounds.all {
		if r.rounds.take(h, "bob") != nil {
			t.Error("it is another caller's by its name alone")
		}
	}
	other := `"A`
	if state[1] == 'A' {
		other = `"B`
	}
	for name, tc := range map[string][2]string{
		"another caller's": {"bob", retry("2", state, answers)},
		"another tool":     {"alice", strings.Replace(retry("2", state, answers), `"name":"x"`, `"name":"y"`, 1)},
		"another method":   {"alice", strings.Replace(retry("2", state, answers), "tools/call", "prompts/get", 1)},
		"altered":          {"alice", retry("2", other+state[2:], answers)},
		"longer":           {"alice", retry("2", state[:len(state)-1]+`-TAMPERED"`, answers)},
		"no text":          {"alice", retry("2", `7`, answers)},
		"empty":            {"alice", retry("2", `""`, answers)},
	} {
		if a := r.do(t, modernExchange(t, tc[0], tc[1])); a.status != 400 || at(t, a.last(), "error", "code") != "-32602" {
			t.Errorf("%s: %d %s", name, a.status, a.last())
		}
	}
	if a := r.do(t, modernExchange(t, "alice", retry("2", state, answers))); at(t, a.last(), "result", "resultType") != `"input_required"` {
		t.Errorf("its own: %s", a.last())
	}
	if a := r.do(t, modernExchange(t, "alice", retry("3", state, answers))); a.status != 400 {
		t.Errorf("twice: %s", a.last())
	}
}

// What the client cannot be asked for is answered in its place: the server goes on.
func TestQuestionsThatReachNobody(t *testing.T) {
	ask := func(question string) func(http.ResponseWriter, *http.Request, *mcp.Labelled, *legacyServer) {
		return func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled, s *legacyServer) {
			say := streamed(w)
			say(`{"jsonrpc":"2.0","id":"q","method":%q,"params":{}}`, question)
			say(`{"jsonrpc":"2.0","id":%s,"result":{"got":%s}}`, m.ID.Token, s.reply(r))
		}
	}
	for _, tc := range []struct{ question, method, want string }{
		{"ping", "tools/call", `{"jsonrpc":"2.0","id":"q","result":{}}`},
		{"roots/list", "tools/call", "-32601"}, // not among the client's capabilities
		{"other/method", "tools/call", "-32601"},
		{"elicitation/create", "tools/list", "-32601"},
	} {
		r := newRig(t, newLegacyServer(ask(tc.question)))
		a := r.do(t, modernExchange(t, "alice", modernBody("1", tc.method, `"name":"x"`, "")))
		got := at(t, a.last(), "result", "got")
		if tc.want == "-32601" {
			got = at(t, got, "error", "code")
		}
		if got != tc.want {
			t.Errorf("%s: %s", tc.question, a.last())
		}
	}
}

// Calls that wait are bounded for each caller; the oldest goes.
func TestParkedCallsAreBounded(t *testing.T) {
	server := newLegacyServer(func(w http.ResponseWriter, r *http.Request, _ *mcp.Labelled, _ *legacyServer) {
		streamed(w)(`{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}`)
		<-r.Context().Done()
	})
	r := newRig(t, server)
	var states []string
	for range parkedOfOne + 1 {
		a := r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, "")))
		states = append(states, at(t, a.last(), "result", "requestState"))
	}
	if n := len(r.rounds.all); n != parkedOfOne {
		t.Errorf("%d calls wait", n)
	}
	eventually(t, "cancelled", func() bool { return server.count("POST notifications/cancelled") == 1 })
	if a := r.do(t, modernExchange(t, "alice", retry("2", states[0], `{}`))); a.status != 400 {
		t.Errorf("the oldest: %s", a.last())
	}
}

// A page that a legacy server's error leads to is a question of the client's own revision, where that can lead anybody there.
func TestPagesOfErrors(t *testing.T) {
	r := newRig(t, newLegacyServer(func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) {
		streamed(w)(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32042,"message":"go","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"u:v","message":"m"},7]}}}`, m.ID.Token)
	}))
	body := modernBody("1", "tools/call", `"name":"x"`, "")
	a := r.do(t, modernExchange(t, "alice", strings.Replace(body, `"elicitation":{}`, `"elicitation":{"url":{}}`, 1)))
	want := `{"input-1":{"method":"elicitation/create","params":{"mode":"url","url":"u:v","message":"m"}}}`
	if got := at(t, a.last(), "result", "inputRequests"); got != want || at(t, a.last(), "result", "requestState") != "" {
		t.Errorf("%s", a.last())
	}
	if a := r.do(t, modernExchange(t, "alice", body)); at(t, a.last(), "error") != `{"code":-32603,"message":"go"}` {
		t.Errorf("without pages: %s", a.last())
	}
}
