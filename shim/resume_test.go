package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// teller is a legacy server whose answers are streams: it says what the test gives it, until that is closed.
type teller struct {
	*forgetful
	t    *testing.T
	said chan string
	over chan struct{} // the test
	last chan string   // of Last-Event-ID of what it is asked to go on with
}

// newTeller is a teller behind a shim.
func newTeller(t *testing.T) (*teller, *rig) {
	s := &teller{forgetful: newForgetful(), t: t, said: make(chan string), over: make(chan struct{}), last: make(chan string, 10)}
	r := newRig(t, s.ServeHTTP)
	t.Cleanup(func() { close(s.over) }) // before the server is waited for
	return s, r
}

// say has the call's stream go on.
func (s *teller) say(event string) {
	s.t.Helper()
	select {
	case s.said <- event:
	case <-time.After(10 * time.Second):
		s.t.Errorf("nobody is there to say %q", event)
	}
}

// end ends the call's stream.
func (s *teller) end() { s.say("end") }

func (s *teller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Body = io.NopCloser(strings.NewReader(string(body))); !strings.Contains(string(body), `"tools/call"`) {
		if r.Method == http.MethodGet {
			s.last <- r.Header.Get("Last-Event-Id")
		}
		s.forgetful.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	_ = out.Flush()
	for {
		select {
		case event := <-s.said:
			switch event {
			case "break":
				panic(http.ErrAbortHandler)
			case "end":
				return
			}
			_, _ = io.WriteString(w, event)
			_ = out.Flush()
		case <-s.over:
			return
		}
	}
}

// taking is a client's stream.
type taking struct {
	*http.Response
	events *mcp.EventReader
	leave  context.CancelFunc
}

func (r *rig) open(t *testing.T, method, token, body string, header ...string) *taking {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp, err := http.DefaultClient.Do(r.request(t, method, token, body, header...).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &taking{resp, mcp.NewEventReader(bufio.NewReader(resp.Body), 1<<20), cancel}
}

// next is the next event's id and data.
func (s *taking) next(t *testing.T) (id, data string) {
	t.Helper()
	e, err := s.events.Next()
	if err != nil {
		t.Fatalf("the stream ended: %v %q", err, e.Raw)
	}
	return string(e.ID), string(e.Data)
}

// rest is the data of all that is still to come, and what that ends with.
func (s *taking) rest() (all []string, err error) {
	for {
		e, err := s.events.Next()
		if err != nil {
			return all, err
		}
		all = append(all, string(e.Data))
	}
}

const (
	working  = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n"
	workedOn = `{"jsonrpc":"2.0","method":"notifications/message"}`
	finished = `{"jsonrpc":"2.0","id":1,"result":{"done":true}}`
)

// A client that lost the connection takes the stream up where it was, while the call runs and when it is over; a reply is
// delivered, and the call is not sent again.
func TestStreamIsTakenUp(t *testing.T) {
	for name, afterwards := range map[string]bool{"while the call runs": false, "when it is over": true} {
		t.Run(name, func(t *testing.T) {
			server, r := newTeller(t)
			sealed := r.initialize(t)
			s := r.open(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...)
			primed, data := s.next(t)
			if !mcp.Resumes(r.request(t, "GET", "", "", "Last-Event-Id", primed)) || data != "" {
				t.Fatalf("primed by %q, %q", primed, data)
			}
			server.say(working)
			id, data := s.next(t)
			if data != workedOn || id == primed {
				t.Fatalf("%q %q", id, data)
			}
			s.leave()
			server.say(working)
			if !afterwards {
				s = r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", id)...)
				if _, data := s.next(t); data != workedOn {
					t.Fatal(data)
				}
			}
			server.say("data: " + finished + "\n\n")
			server.end()
			if afterwards {
				for deadline := time.Now().Add(5 * time.Second); len(r.records.all()) < 3; time.Sleep(time.Millisecond) { // two are of initialize
					if time.Now().After(deadline) {
						t.Fatal("the call is not over")
					}
				}
				s = r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", id)...)
				if _, data := s.next(t); data != workedOn {
					t.Fatal(data)
				}
			}
			if s.StatusCode != 200 || s.Header.Get("Content-Type") != "text/event-stream" || s.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v", s.StatusCode, s.Header)
			}
			if rest, err := s.rest(); err != io.EOF || strings.Join(rest, "") != finished {
				t.Errorf("then %q, %v", rest, err)
			}
			s = r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", primed)...)
			if rest, err := s.rest(); err != io.EOF || strings.Join(rest, "") != workedOn+workedOn+finished {
				t.Errorf("from the beginning %q, %v", rest, err)
			}
			if len(server.last) > 0 {
				t.Error("the server was asked")
			}
			all := r.records.all()
			if last := all[len(all)-1]; len(all) != 5 || last.CallType != "GET" || last.Subject != "alice" || last.ResponseStatus != 200 {
				t.Errorf("recorded %+v", all)
			}
		})
	}
}

// Once a stream was taken up, the connection before gets nothing more: no message goes out on two.
func TestStreamIsTakenOver(t *testing.T) {
	server, r := newTeller(t)
	sealed := r.initialize(t)
	first := r.open(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...)
	id, _ := first.next(t)
	second := r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", id)...)
	server.say(working)
	if _, data := second.next(t); data != workedOn { // by now it has taken over
		t.Fatal(data)
	}
	server.say("data: " + finished + "\n\n")
	server.end()
	rest, err := second.rest()
	if err != io.EOF || rest[len(rest)-1] != finished {
		t.Errorf("the second: %q, %v", rest, err)
	}
	if rest, _ := first.rest(); strings.Contains(strings.Join(rest, ""), finished) {
		t.Errorf("the first, too: %q", rest)
	}
}

// Where nobody has the result any more, the client is told so under the call's id.
func TestResultIsLost(t *testing.T) {
	for name, lose := range map[string]func(r *rig, server *teller){
		"the shim is another":      func(r *rig, _ *teller) { r.newLife() },
		"the server broke off":     func(_ *rig, server *teller) { server.say("break") },
		"the server gave no reply": func(_ *rig, server *teller) { server.end() },
	} {
		t.Run(name, func(t *testing.T) {
			server, r := newTeller(t)
			sealed := r.initialize(t)
			s := r.open(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...)
			id, _ := s.next(t)
			lose(r, server)
			s = r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", id)...)
			rest, err := s.rest()
			var answer struct {
				ID    int
				Error struct {
					Code    int
					Message string
				}
			}
			if len(rest) != 1 || json.Unmarshal([]byte(rest[0]), &answer) != nil || err != io.EOF || answer.ID != 1 ||
				answer.Error.Code != mcp.CodeUnavailable || !strings.Contains(answer.Error.Message, "result is lost") {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

// Whose stream it is not learns nothing of it.
func TestStreamIsNobodyElses(t *testing.T) {
	server, r := newTeller(t)
	sealed := r.initialize(t)
	other := r.initialize(t)
	s := r.open(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...)
	id, _ := s.next(t)
	server.say("data: {\"secret\":1}\n\n")
	for name, c := range map[string]struct {
		token  string
		header []string
		status int
	}{
		"another person's":  {r.seller(t), append(r.within(sealed), "Last-Event-Id", id), 404},
		"another session's": {r.engineer(t), append(r.within(other), "Last-Event-Id", id), 400},
		"of no session":     {r.engineer(t), []string{mcp.HeaderVersion, "2025-11-25", "Last-Event-Id", id}, 400},
		"altered":           {r.engineer(t), append(r.within(sealed), "Last-Event-Id", "r1.A"+id[4:]), 400},
		"no number":         {r.engineer(t), append(r.within(sealed), "Last-Event-Id", "r1.x"), 400},
		"nobody's":          {"", append(r.within(sealed), "Last-Event-Id", id), 401},
	} {
		resp, body := r.do(t, r.request(t, "GET", c.token, "", c.header...))
		if resp.StatusCode != c.status || strings.Contains(body, "secret") || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	server.end()
}

// Streams that cannot be taken up go out as they came: of servers that name events themselves, and of clients that know
// nothing of it.
func TestStreamsThatAreNotKept(t *testing.T) {
	const named = "id: e1\nretry: 5\ndata: " + finished + "\n\n"
	server, r := newTeller(t)
	sealed := r.initialize(t)
	call := func(event, body string, header ...string) string {
		t.Helper()
		go server.say(event)
		resp, err := http.DefaultClient.Do(r.request(t, "POST", r.engineer(t), body, header...))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := make([]byte, 1000)
		n, _ := io.ReadAtLeast(resp.Body, got, len(event))
		server.end()
		return string(got[:n])
	}
	if got := call(named, callTool("x"), mcp.HeaderVersion, "2025-11-25"); got != named {
		t.Errorf("without a session: %q", got)
	}
	if got := call(working, "["+callTool("x")+"]", mcp.HeaderSession, sealed, mcp.HeaderVersion, "2025-03-26"); got != working {
		t.Errorf("a batch: %q", got)
	}
	if got := call(named, callTool("x"), mcp.HeaderSession, sealed, mcp.HeaderVersion, "2025-06-18"); got != named {
		t.Errorf("the server's own ids: %q", got)
	}
	if got := call(named, callTool("x"), r.within(sealed)...); got != named {
		t.Errorf("the server is known to have ids of its own: %q", got)
	}
	s := r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", "e1")...)
	if got := <-server.last; s.StatusCode != 200 || got != "e1" {
		t.Errorf("the server is asked for %q", got)
	}
}

// Clients before 2025-11-25 may know no event without data.
func TestOlderClientsAreNotPrimed(t *testing.T) {
	server, r := newTeller(t)
	sealed := r.initialize(t)
	s := r.open(t, "POST", r.engineer(t), callTool("x"), mcp.HeaderSession, sealed, mcp.HeaderVersion, "2025-06-18")
	server.say("data: " + finished + "\n\n")
	if id, data := s.next(t); data != finished || !strings.HasSuffix(id, ".1") {
		t.Errorf("%q %q", id, data)
	}
	server.end()
}

// held tells how a request that holds the pod up goes.
func (r *rig) held(t *testing.T, sealed, last string) (_ *taking, ended <-chan error) {
	t.Helper()
	s := r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", last, mcp.HeaderHold, "1")...)
	if s.StatusCode != 200 {
		t.Fatalf("%d", s.StatusCode)
	}
	over := make(chan error, 1)
	go func() {
		rest, err := s.rest()
		if err == io.EOF && rest == nil {
			err = nil
		}
		over <- err
	}()
	return s, over
}

// A gateway whose client left holds the pod up until the client came back and had the answer, once; it hears nothing of it
// itself. The pod is not idle meanwhile.
func TestPodStaysForTheAnswer(t *testing.T) {
	server, r := newTeller(t)
	sealed := r.initialize(t)
	s := r.open(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...)
	id, _ := s.next(t)
	_, over := r.held(t, sealed, id)
	server.say("data: " + finished + "\n\n")
	server.end()
	if _, data := s.next(t); data != finished { // its gateway reads on
		t.Fatal(data)
	}
	_, _ = s.rest()
	time.Sleep(50 * time.Millisecond)
	select {
	case err := <-over:
		t.Fatalf("it is held no more: %v", err)
	default:
	}
	if !r.chain.calls.Busy(time.Millisecond) {
		t.Error("it is idle")
	}
	s = r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", id)...)
	if rest, err := s.rest(); err != io.EOF || strings.Join(rest, "") != finished {
		t.Errorf("got %q, %v", rest, err)
	}
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it is held for ever")
	}
	for deadline := time.Now().Add(5 * time.Second); r.chain.calls.Busy(time.Millisecond); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is never idle")
		}
	}
}

// What is not to come is not waited for: of another shim, of a session that is over, and for who has all of it.
func TestPodStaysForNothing(t *testing.T) {
	server, r := newTeller(t)
	sealed := r.initialize(t)
	begin := func() (s *taking, id string) {
		s = r.open(t, "POST", r.engineer(t), callTool("x"), r.within(sealed)...)
		id, _ = s.next(t)
		return s, id
	}
	ends := func(what string, over <-chan error) {
		t.Helper()
		select {
		case err := <-over:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: it is waited for", what)
		}
	}
	s, _ := begin()
	server.say("data: " + finished + "\n\n")
	id, _ := s.next(t)
	_, over := r.held(t, sealed, id)
	ends("it has all of it", over)
	server.end()
	_, id = begin()
	_, over = r.held(t, sealed, id)
	if resp, _ := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(sealed)...)); resp.StatusCode != 200 {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
	ends("its session is over", over)
	server.end()
	sealed = r.initialize(t)
	_, id = begin()
	server.end()
	r.newLife()
	_, over = r.held(t, sealed, id)
	ends("another shim", over)
}
