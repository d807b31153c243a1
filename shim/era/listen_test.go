package era

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// listening begins a subscriptions/listen, and returns its messages.
func (r *rig) listening(t *testing.T, who, id, filter string) (<-chan string, context.CancelFunc) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	resp, err := r.Exchange(ctx, modernExchange(t, who, modernBody(id, "subscriptions/listen", `"notifications":`+filter, "")), r.send)
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 100)
	go func() {
		defer close(messages)
		defer resp.Body.Close()
		for events := mcp.NewEventReader(resp.Body, 1<<20); ; {
			e, err := events.Next()
			if err != nil {
				return
			}
			messages <- string(e.Data)
		}
	}()
	return messages, leave
}

func next(t *testing.T, messages <-chan string) string {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no message")
		return ""
	}
}

// newsServer says on a session's stream what the test says.
func newsServer(t *testing.T) (*legacyServer, chan string) {
	news := make(chan string, 10)
	server := newLegacyServer(func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) { result(w, m, "{}") })
	server.stream = func(w http.ResponseWriter, r *http.Request) {
		say := streamed(w)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case n := <-news:
				say("%s", n)
			case <-r.Context().Done():
				return
			}
		}
	}
	return server, news
}

// A listener hears what it asked for and the server can say, with its own id on it.
func TestListen(t *testing.T) {
	server, news := newsServer(t)
	r := newRig(t, server)
	r.linger = time.Millisecond
	messages, leave := r.listening(t, "alice", `"l"`, `{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}`)
	const tag = `"_meta":{"io.modelcontextprotocol/subscriptionId":"l"}`
	want := `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{` + tag + `,"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}}}`
	if got := next(t, messages); got != want {
		t.Errorf("first\n%s\nwant\n%s", got, want)
	}
	for _, n := range []string{`{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error"}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:3"}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:2","more":1}}`,
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`} {
		news <- n
	}
	if got := next(t, messages); got != `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:2","more":1,`+tag+`}}` {
		t.Errorf("second: %s", got)
	}
	if got := next(t, messages); got != `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{`+tag+`}}` {
		t.Errorf("third: %s", got)
	}
	other, leaveOther := r.listening(t, "alice", "2", `{"resourceSubscriptions":["a:2"]}`)
	if got := next(t, other); !strings.Contains(got, `"notifications":{"resourceSubscriptions":["a:2"]}`) {
		t.Errorf("granted what was not asked for: %s", got)
	}
	leave()
	eventually(t, "a:1 is watched no longer", func() bool { return server.count("POST resources/unsubscribe") == 1 })
	leaveOther()
	eventually(t, "a:2 is watched no longer", func() bool { return server.count("POST resources/unsubscribe") == 2 })
	if n := server.count("POST resources/subscribe"); n != 2 || server.count("GET") != 1 {
		t.Errorf("%d subscriptions: %q", n, server.list())
	}
}

// A listener whose session was lost ends, for its client to begin again.
func TestListenersEndWithTheSession(t *testing.T) {
	server, _ := newsServer(t)
	r := newRig(t, server)
	messages, _ := r.listening(t, "alice", "1", `{"toolsListChanged":true}`)
	next(t, messages)
	server.forget()
	r.do(t, modernExchange(t, "alice", modernBody("2", "tools/list", "", "")))
	select {
	case m, more := <-messages:
		if more {
			t.Errorf("heard %s", m)
		}
	case <-time.After(10 * time.Second):
		t.Error("it listens on")
	}
}

// What a server asks outside of a call's stream is the only call's; where there are two, nobody is asked.
func TestQuestionOnTheSessionsStream(t *testing.T) {
	server, news := newsServer(t)
	calls := make(chan func(string), 2)
	server.tools = func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled, _ *legacyServer) {
		say := streamed(w)
		_ = http.NewResponseController(w).Flush()
		done := make(chan struct{})
		calls <- func(got string) { say(`{"jsonrpc":"2.0","id":%s,"result":{"got":%s}}`, m.ID.Token, got); close(done) }
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	r := newRig(t, server)
	begin := func() <-chan answer {
		out := make(chan answer, 1)
		go func() { out <- r.do(t, modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x"`, ""))) }()
		return out
	}
	first := begin()
	finish := <-calls
	news <- `{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}`
	a := <-first
	if at(t, a.last(), "result", "resultType") != `"input_required"` {
		t.Fatal(a.last())
	}
	again := make(chan answer, 1)
	go func() {
		again <- r.do(t, modernExchange(t, "alice", modernBody("2", "tools/call", `"name":"x","requestState":`+at(t, a.last(), "result", "requestState")+`,"inputResponses":{"input-1":{"action":"accept"}}`, "")))
	}()
	finish(<-server.replies)
	if got := (<-again).last(); at(t, got, "result", "got") != `{"jsonrpc":"2.0","id":"q","result":{"action":"accept"}}` {
		t.Error(got)
	}
	one, two := begin(), begin()
	finishes := []func(string){<-calls, <-calls}
	news <- `{"jsonrpc":"2.0","id":"q2","method":"elicitation/create","params":{}}`
	if got := <-server.replies; !strings.Contains(got, "-32601") {
		t.Errorf("asked while two calls ran: %s", got)
	}
	for _, f := range finishes {
		f("1")
	}
	<-one
	<-two
}

// A listener that comes again hears what was said meanwhile, once, and the server watches on.
func TestListenerThatComesAgain(t *testing.T) {
	server, news := newsServer(t)
	r := newRig(t, server)
	r.linger = 200 * time.Millisecond
	const filter = `{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}`
	messages, leave := r.listening(t, "alice", "1", filter)
	next(t, messages)
	leave()
	k := only(r.kept.all)
	eventually(t, "left", func() bool { k.hub.mu.Lock(); defer k.hub.mu.Unlock(); return len(k.hub.listeners) == 0 })
	for _, n := range []string{`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
		`{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`} {
		news <- n
	}
	eventually(t, "kept", func() bool { k.hub.mu.Lock(); defer k.hub.mu.Unlock(); return len(k.hub.missed) == 2 })
	messages, leave = r.listening(t, "alice", "2", filter)
	next(t, messages)
	if got := next(t, messages); !strings.Contains(got, "tools/list_changed") || !strings.Contains(got, `subscriptionId":2`) {
		t.Errorf("heard %s", got)
	}
	time.Sleep(2 * r.linger) // it is wanted again
	leave()
	eventually(t, "left", func() bool { k.hub.mu.Lock(); defer k.hub.mu.Unlock(); return len(k.hub.listeners) == 0 })
	if a, b := server.count("POST resources/subscribe"), server.count("POST resources/unsubscribe"); a != 1 || b != 0 {
		t.Errorf("subscribed %d times, ended %d", a, b)
	}
}
