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

func TestSessionsHaveChildrenOfTheirOwn(t *testing.T) {
	r := newRig(t, "plain", nil)
	a, b := r.session(), r.session()
	pidA, pidB := r.post(call("1", "pid", "", ""), a).text(), r.post(call("1", "pid", "", ""), b).text()
	if pidA == "" || pidA == pidB {
		t.Errorf("children %q and %q, want two", pidA, pidB)
	}
	if again := r.post(call("2", "pid", "", ""), a).text(); again != pidA {
		t.Errorf("the session's child was %s and is %s", pidA, again)
	}
	if got := r.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, a); got.status != http.StatusAccepted || got.body != "" {
		t.Errorf("notification: %+v", got)
	}
	req := r.request(t.Context(), http.MethodDelete, "", a)
	if got, err := r.do(req); err != nil || got.status != http.StatusNoContent {
		t.Errorf("delete: %+v, %v", got, err)
	}
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		body := ""
		if method == http.MethodPost {
			body = call("3", "pid", "", "")
		}
		if got, err := r.do(r.request(t.Context(), method, body, a)); err != nil || got.status != http.StatusNotFound {
			t.Errorf("%s after delete: %+v, %v", method, got, err)
		}
	}
	if got := r.post(call("4", "pid", "", ""), b).text(); got != pidB {
		t.Errorf("the other session's child is %q, was %s", got, pidB)
	}
}

// Labels go in as numbers of ours and come back as they were, with their type.
func TestLabels(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	for _, c := range []struct{ id, token string }{
		{`1`, `1`}, {`"1"`, `"1"`}, {`"\u0061"`, `"x y"`}, {`-7`, `"7"`}, {`1.50`, `2.5e3`}, {`9007199254740993`, `"é"`},
	} {
		got := r.post(call(c.id, "progress", `{"count":2}`, `"progressToken":`+c.token), s)
		all := got.messages()
		if len(all) != 3 || !strings.Contains(all[2], `"id":`+c.id+`,`) {
			t.Errorf("id %s: %+v", c.id, got)
			continue
		}
		for _, m := range all[:2] {
			if !strings.Contains(m, `"progressToken":`+c.token+`,`) {
				t.Errorf("token %s: %s", c.token, m)
			}
		}
		if seen := r.post(call(c.id, "seen", "", `"progressToken":`+c.token), s).text(); strings.Contains(seen, `"`) || seen == c.id+" "+c.token {
			t.Errorf("the child saw %q", seen)
		}
	}
	// Line ends between tokens are white space, and would end the child's message.
	if got := r.post("{\n\"jsonrpc\":\"2.0\",\r\n\"id\":5,\"method\":\"ping\"\n}\n", s); got.status != http.StatusOK {
		t.Errorf("pretty-printed: %+v", got)
	}
}

func TestRequestsAtOnce(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	answers := make(chan string, 20)
	for i := range 20 {
		go func() {
			got := r.post(call(fmt.Sprint(i), "progress", `{"count":5,"ms":1}`, fmt.Sprintf(`"progressToken":"t%d"`, i)), s)
			problem := ""
			for _, m := range got.messages() {
				if !strings.Contains(m, fmt.Sprintf(`"progressToken":"t%d"`, i)) && !strings.Contains(m, fmt.Sprintf(`"id":%d,`, i)) {
					problem = m
				}
			}
			if len(got.messages()) != 6 {
				problem = got.body
			}
			answers <- problem
		}()
	}
	for range 20 {
		if problem := <-answers; problem != "" {
			t.Errorf("on somebody's stream: %s", problem)
		}
	}
}

func TestBatch(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	batch := "[" + call("1", "pid", "", "") + "," + `{"jsonrpc":"2.0","method":"notifications/x"}` + "," + call(`"b"`, "pid", "", "") + "]"
	got := r.post(batch, s)
	if all := got.messages(); got.kind != "text/event-stream" || len(all) != 2 {
		t.Errorf("stream: %+v", got)
	}
	got = r.post(batch, s, "Accept: application/json")
	if got.kind != "application/json" || !strings.HasPrefix(got.body, "[{") || strings.Count(got.body, `"jsonrpc"`) != 2 {
		t.Errorf("JSON: %+v", got)
	}
	if got := r.post(`[{"jsonrpc":"2.0","method":"notifications/x"}]`, s); got.status != http.StatusAccepted {
		t.Errorf("notifications only: %+v", got)
	}
}

// What the child asks its client goes to that client only, and so does the answer to the child.
func TestChildAsksItsClient(t *testing.T) {
	r := newRig(t, "plain", nil)
	a, b := r.session(), r.session()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := http.DefaultClient.Do(r.request(ctx, http.MethodPost, call("1", "ask", "", ""), a))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := mcp.NewEventReader(resp.Body, 1<<20)
	e, err := events.Next()
	if err != nil || !strings.Contains(string(e.Data), `"id":"ask-1"`) || !strings.Contains(string(e.Data), "roots/list") {
		t.Fatalf("the client was asked %q, %v", e.Data, err)
	}
	const answer = `{"jsonrpc":"2.0","id":"ask-1","result":{"roots":["%s"]}}`
	for _, stranger := range []string{fmt.Sprintf(answer, "B"), strings.Replace(fmt.Sprintf(answer, "C"), "ask-1", "ask-2", 1)} {
		session := b
		if strings.Contains(stranger, "ask-2") {
			session = a
		}
		if got := r.post(stranger, session); got.status != http.StatusAccepted {
			t.Errorf("%s: %+v", stranger, got)
		}
	}
	if got := r.post(fmt.Sprintf(answer, "A"), a); got.status != http.StatusAccepted {
		t.Errorf("answer: %+v", got)
	}
	e, err = events.Next()
	if err != nil || !strings.Contains(string(e.Data), `{\"roots\":[\"A\"]}`) {
		t.Errorf("the child got %q, %v", e.Data, err)
	}
}

// Messages that belong to no request wait for a listening stream, and none is sent twice.
func TestListening(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	if got := r.post(call("1", "changed", "", ""), s, "Accept: application/json"); got.text() != "told" || got.kind != "application/json" {
		t.Fatalf("call: %+v", got)
	}
	listen := func() (*mcp.EventReader, func()) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		resp, err := http.DefaultClient.Do(r.request(ctx, http.MethodGet, "", s))
		if err != nil {
			t.Fatal(err)
		}
		return mcp.NewEventReader(resp.Body, 1<<20), func() { cancel(); resp.Body.Close() }
	}
	first, closeFirst := listen()
	defer closeFirst()
	for _, want := range []string{"tools/list_changed", "resources/updated"} {
		if e, err := first.Next(); err != nil || !strings.Contains(string(e.Data), want) {
			t.Errorf("held: %q, %v", e.Data, err)
		}
	}
	second, closeSecond := listen()
	defer closeSecond()
	if _, err := first.Next(); err == nil {
		t.Error("the older stream goes on beside the newer")
	}
	r.post(call("2", "changed", "", ""), s, "Accept: application/json")
	if e, err := second.Next(); err != nil || !strings.Contains(string(e.Data), "tools/list_changed") {
		t.Errorf("live: %q, %v", e.Data, err)
	}
	// A call's stream comes first, since one message goes out on one stream only.
	if all := r.post(call("3", "log", "", ""), s).messages(); len(all) != 2 || !strings.Contains(all[0], "logged") {
		t.Errorf("on the call's stream: %q", all)
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := r.do(r.request(ctx, http.MethodPost, call(`"h"`, "hang", "", ""), s))
		gone <- err
	}()
	pipe := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "").own
	eventually(t, "the call is under way", func() bool { return pipe.underWay() == 1 })
	if got := r.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"other"}}`, s); got.status != http.StatusAccepted {
		t.Errorf("cancel of nothing: %+v", got)
	}
	r.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"h"}}`, s)
	// initialize was 1, hang 2.
	eventually(t, "the child was told", func() bool { return r.post(call("9", "cancelled", "", ""), s).text() == "2" })
	leave()
	if err := <-gone; err == nil {
		t.Error("the call was answered")
	}
	eventually(t, "the call is over", func() bool { return pipe.underWay() == 0 })
}

// The maximum holds, and whoever opens sessions without end loses their own.
func TestMaximum(t *testing.T) {
	r := newRig(t, "plain", func(c *Config) { c.Max = 3 })
	quiet := r.session(HeaderCaller + ": quiet")
	quietPid := r.post(call("1", "pid", "", ""), quiet, HeaderCaller+": quiet").text()
	var greedy []string
	for range 10 {
		greedy = append(greedy, r.session(HeaderCaller+": greedy"))
		if n := len(r.bridge.sessions.pipes()); n > 3 {
			t.Fatalf("%d children, want 3 at most", n)
		}
	}
	if got := r.post(call("2", "pid", "", ""), quiet, HeaderCaller+": quiet").text(); got != quietPid {
		t.Errorf("the quiet caller's session is gone: %q", got)
	}
	last := len(greedy) - 1
	if got := r.post(call("1", "pid", "", ""), greedy[0], HeaderCaller+": greedy"); got.status != http.StatusNotFound {
		t.Errorf("the oldest: %+v", got)
	}
	if got := r.post(call("1", "pid", "", ""), greedy[last], HeaderCaller+": greedy"); got.status != http.StatusOK {
		t.Errorf("the newest: %+v", got)
	}
	if got := r.post(call("1", "pid", "", ""), quiet, HeaderCaller+": greedy"); got.status != http.StatusNotFound {
		t.Errorf("another's session: %+v", got)
	}
	// While all are busy nobody's is taken.
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for _, c := range []struct{ session, caller string }{{quiet, "quiet"}, {greedy[last], "greedy"}, {greedy[last-1], "greedy"}} {
		go func() {
			_, _ = r.do(r.request(ctx, http.MethodPost, call("8", "hang", "", ""), c.session, HeaderCaller+": "+c.caller))
		}()
	}
	eventually(t, "all are busy", func() bool {
		busy := 0
		for _, p := range r.bridge.sessions.pipes() {
			busy += p.underWay()
		}
		return busy == 3
	})
	if got := r.post(initialize, HeaderCaller+": third"); got.status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %+v", got)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
	}{
		"no session":         {call("1", "pid", "", ""), nil, 400},
		"unknown session":    {call("1", "pid", "", ""), []string{mcp.HeaderSession + ": nobody"}, 404},
		"unknown revision":   {call("1", "pid", "", ""), []string{s, "Mcp-Protocol-Version: 2024-01-01"}, 400},
		"no JSON":            {`{`, []string{s}, 400},
		"two values":         {`{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, []string{s}, 400},
		"no message":         {`{"jsonrpc":"2.0"}`, []string{s}, 400},
		"empty batch":        {`[]`, []string{s}, 400},
		"initialize in many": {"[" + initialize + "," + call("1", "pid", "", "") + "]", []string{s}, 400},
	} {
		if got := r.post(c.body, c.headers...); got.status != c.status || got.kind != "application/json" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := r.do(r.request(t.Context(), http.MethodPut, "", s)); err != nil || got.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %+v, %v", got, err)
	}
}

// The child gets its own environment and nothing of ours.
func TestEnvironment(t *testing.T) {
	t.Setenv("SHIM_SEAL_KEY_FILE", "secret")
	r := newRig(t, "plain", nil)
	got := r.post(call("1", "environment", "", ""), r.session()).text()
	if strings.Contains(got, "SHIM_") || !strings.Contains(got, "FAKE_CHILD=plain") {
		t.Errorf("the child has %s", got)
	}
}

// A server that refuses to begin is answered as it is, and leaves no session and no child.
func TestInitializeRefused(t *testing.T) {
	r := newRig(t, "refuses", func(c *Config) { c.Max = 1 })
	for range 3 {
		if got := r.post(initialize); got.status != http.StatusOK || got.session != "" || !strings.Contains(got.body, "-32602") {
			t.Errorf("initialize: %+v", got)
		}
		eventually(t, "its place is free", func() bool {
			r.bridge.sessions.mu.Lock()
			defer r.bridge.sessions.mu.Unlock()
			return len(r.bridge.sessions.all)+r.bridge.sessions.places == 0
		})
	}
}

// The session that must go is gone before another's child starts.
func TestVictimIsGone(t *testing.T) {
	r := newRig(t, "plain", func(c *Config) { c.Max = 1 })
	old := r.bridge.sessions.find(strings.TrimPrefix(r.session(), mcp.HeaderSession+": "), "").own
	r.session()
	select {
	case <-old.process.exited:
	default:
		t.Error("two children, of one at most")
	}
}

// A stream begins after a while without a message, where the caller takes one.
func TestStreamBeginsInTime(t *testing.T) {
	r := newRig(t, "plain", nil)
	r.bridge.clock.waiting = 50 * time.Millisecond
	s := r.session()
	for accept, want := range map[string]string{"application/json, text/event-stream": "text/event-stream", "application/json": "application/json"} {
		if got := r.post(call("1", "sleep", `{"ms":500}`, ""), s, "Accept: "+accept); got.kind != want || got.text() != "slept" {
			t.Errorf("%s: %+v", accept, got)
		}
	}
}
