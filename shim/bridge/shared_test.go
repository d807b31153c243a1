package bridge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

func newShared(t *testing.T, manner string) *rig {
	return newRig(t, manner, func(c *Config) { c.Shared = true })
}

func TestSharedChild(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	pid := r.post(call("1", "pid", "", ""), a).text()
	if got := r.post(call("1", "pid", "", ""), b).text(); got != pid || pid == "" {
		t.Errorf("children %q and %q, want one", pid, got)
	}
	if got := r.post(initialize); !strings.Contains(got.body, `"id":"i"`) || !strings.Contains(got.body, `"name":"fake"`) {
		t.Errorf("initialize: %+v", got)
	}
	if got := r.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, a); got.status != http.StatusAccepted {
		t.Errorf("initialized: %+v", got)
	}
	// The same id of two clients, at once.
	answers := make(chan string, 2)
	for _, s := range []string{a, b} {
		go func() {
			answers <- strings.Join(r.post(call("7", "progress", `{"count":3,"ms":20}`, `"progressToken":"same"`), s).messages(), "\n")
		}()
	}
	for range 2 {
		if got := <-answers; strings.Count(got, `"progressToken":"same"`) != 3 || strings.Count(got, `"id":7,`) != 1 {
			t.Errorf("messages got to the wrong client:\n%s", got)
		}
	}
	// One client's cancellation is not another's, though the ids are the same.
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() { _, _ = r.do(r.request(ctx, http.MethodPost, call("7", "hang", "", ""), a)) }()
	eventually(t, "the call is under way", func() bool { return r.bridge.legacy.current().underWay() == 1 })
	r.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`, b)
	if got := r.post(call("8", "cancelled", "", ""), b).text(); got != "" {
		t.Errorf("the child was told to cancel %s", got)
	}
	r.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`, a)
	eventually(t, "the child was told", func() bool { return r.post(call("8", "cancelled", "", ""), b).text() != "" })
}

// Nobody is asked on behalf of all, and nobody learns what is another's.
func TestSharedChildSaysOnlyWhatIsForAll(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { _, _ = r.do(r.request(ctx, http.MethodPost, call("1", "ask", "", ""), a)) }()
	if all := r.post(call("2", "log", "", ""), b).messages(); len(all) != 1 {
		t.Errorf("a log message went to %q", all)
	}
	if got := r.post(`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":"test://a"}}`, a); got.status != http.StatusOK {
		t.Fatalf("subscribe: %+v", got)
	}
	r.post(call("4", "changed", "", ""), b)
	for name, c := range map[string]struct {
		session string
		want    int
	}{"subscriber": {a, 2}, "other": {b, 1}} {
		s := r.bridge.sessions.find(strings.TrimPrefix(c.session, mcp.HeaderSession+": "), "")
		eventually(t, name+" is told", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.held) == c.want })
	}
	// While one still wants it, another's end of it stays here.
	r.post(`{"jsonrpc":"2.0","id":5,"method":"resources/subscribe","params":{"uri":"test://a"}}`, b)
	if got := r.post(`{"jsonrpc":"2.0","id":6,"method":"resources/unsubscribe","params":{"uri":"test://a"}}`, b); got.body != `{"jsonrpc":"2.0","id":6,"result":{}}` {
		t.Errorf("the first to end it: %+v", got)
	}
	if got := r.post(`{"jsonrpc":"2.0","id":7,"method":"resources/unsubscribe","params":{"uri":"test://a"}}`, a); !strings.Contains(got.body, "resources/unsubscribe") {
		t.Errorf("the last to end it: %+v", got)
	}
}

// The child is started again, and told again what its clients subscribed to; their sessions go on.
func TestSharedChildStartsAgain(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	r.post(`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":"test://a"}}`, a)
	waiting := make(chan reply, 1)
	go func() { waiting <- r.post(call("1", "hang", "", ""), a) }()
	eventually(t, "a call is under way", func() bool { return r.bridge.legacy.current().underWay() == 1 })
	before := r.post(call("2", "pid", "", ""), b).text()
	r.post(call("3", "exit", "", ""), b)
	if got := <-waiting; got.status != http.StatusBadGateway {
		t.Errorf("who waited got %+v", got)
	}
	after := r.post(call("4", "seen", "", ""), b)
	if after.status != http.StatusOK || before == "" {
		t.Fatalf("after the end: %+v", after)
	}
	// initialize was 1, the subscription 2, this call 3.
	if got := strings.TrimSpace(after.text()); got != "3" {
		t.Errorf("the call is number %s of the new child, want 3: the subscription was not made again", got)
	}
}

// A client that does not read is given up before it holds up the others for long.
func TestSharedSlowReader(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	resp, err := http.DefaultClient.Do(r.request(t.Context(), http.MethodPost,
		call("1", "progress", `{"count":100000}`, fmt.Sprintf(`"progressToken":%q`, strings.Repeat("long", 16_000))), a))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := r.post(call("2", "pid", "", ""), b); got.text() == "" {
		t.Errorf("the other waited for %+v", got)
	}
	eventually(t, "it is given up", func() bool { return r.bridge.legacy.current().underWay() == 0 })
}

// All of a batch is answered, also what the child need not be told.
func TestSharedBatchOfOurAnswers(t *testing.T) {
	r := newShared(t, "plain")
	a, b := r.session(), r.session()
	for _, s := range []string{a, b} {
		r.post(`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":"test://a"}}`, s)
	}
	batch := strings.Repeat(`,{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"test://a"}}`, 50)
	if all := r.post("["+batch[1:]+"]", a).messages(); len(all) != 50 {
		t.Errorf("%d answers, want 50", len(all))
	}
}

// A session's end is its listening stream's, though the child goes on.
func TestSharedDeleteEndsListening(t *testing.T) {
	r := newShared(t, "plain")
	s := r.session()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := http.DefaultClient.Do(r.request(ctx, http.MethodGet, "", s))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := r.do(r.request(ctx, http.MethodDelete, "", s)); err != nil || got.status != http.StatusNoContent {
		t.Fatalf("delete: %+v, %v", got, err)
	}
	if _, err := mcp.NewEventReader(resp.Body, 1<<20).Next(); err == nil || ctx.Err() != nil {
		t.Errorf("the stream goes on: %v", err)
	}
}

// The shared child is initialized by us, once, whatever its clients say; it gets an answer to all that it asks.
func TestSharedChildHasOneClient(t *testing.T) {
	r := newShared(t, "plain")
	for range 2 {
		s := r.session()
		r.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, s)
		if got := r.post(call("1", "ready", "", ""), s).text(); got != "1" {
			t.Errorf("it was told %s times that it is initialized", got)
		}
		if got := r.post(call("2", "ask ping", "", ""), s).text(); got != "{}" {
			t.Errorf("its ping was answered by %q", got)
		}
		if got := r.post(call("3", "ask", "", ""), s); got.status != http.StatusOK || got.text() != "" {
			t.Errorf("what no client can answer was answered by %+v", got)
		}
	}
}
