package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// broadcaster is a legacy server that says on its listening stream what the test gives it.
type broadcaster struct {
	*forgetful
	said  chan string
	legs  chan string   // of Last-Event-ID, by what it is asked with
	left  chan struct{} // one for each stream that the other side ended
	over  chan struct{} // the test
	named bool          // it gives events ids
}

func newBroadcaster(t *testing.T) (*broadcaster, *rig) {
	s := &broadcaster{forgetful: newForgetful(), said: make(chan string), legs: make(chan string, 20), left: make(chan struct{}, 20), over: make(chan struct{})}
	r := newRig(t, s.ServeHTTP)
	t.Cleanup(func() { close(s.over) }) // before the server is waited for
	return s, r
}

func (s *broadcaster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.forgetful.ServeHTTP(w, r)
		return
	}
	s.legs <- r.Header.Get("Last-Event-Id")
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	_ = out.Flush()
	for {
		select {
		case text := <-s.said:
			if text == "end" {
				return
			}
			if s.named {
				_, _ = fmt.Fprintf(w, "id: own-%s\n", text)
			}
			_, _ = fmt.Fprintf(w, "data: %s\n\n", notification(text))
			_ = out.Flush()
		case <-r.Context().Done():
			s.left <- struct{}{}
			return
		case <-s.over:
			return
		}
	}
}

func notification(text string) string {
	return `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"` + text + `"}}`
}

func (s *broadcaster) say(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		select {
		case s.said <- text:
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody hears %q", text)
		}
	}
}

// A listener that lost its connection hears what it missed, once and in order, however its leg ended; and so does the gateway
// with the leg that follows one that was silent. The server is asked for one stream.
func TestListenerMissesNothing(t *testing.T) {
	server, r := newBroadcaster(t)
	sealed := r.initialize(t)
	listen := func(last string) *taking {
		t.Helper()
		header := r.within(sealed)
		if last != "" {
			header = append(header, "Last-Event-Id", last)
		}
		s := r.open(t, "GET", r.engineer(t), "", header...)
		if s.StatusCode != 200 || !mcp.IsStream(s.Header) {
			t.Fatalf("%d %v", s.StatusCode, s.Header)
		}
		return s
	}
	s := listen("")
	id, data := s.next(t)
	if !strings.HasPrefix(id, mcp.ListenPrefix) || data != "" {
		t.Fatalf("primed by %q, %q", id, data)
	}
	server.say(t, "1", "2")
	if id, data = s.next(t); data != notification("1") {
		t.Fatal(data)
	}
	s.leave()
	server.say(t, "3")
	s = listen(id)
	for _, want := range []string{"2", "3"} {
		if id, data = s.next(t); data != notification(want) {
			t.Fatalf("%s instead of %s", data, want)
		}
	}
	if _, err := s.rest(); err != io.EOF { // its leg was silent
		t.Errorf("the leg ends with %v", err)
	}
	server.say(t, "4")
	s = listen(id)
	if _, data = s.next(t); data != notification("4") {
		t.Error(data)
	}
	s = listen("") // one that has no id takes the place, and goes on where the other was
	server.say(t, "5")
	if _, data = s.next(t); data != "" {
		t.Errorf("not primed, but %s", data)
	}
	if id, data = s.next(t); data != notification("5") {
		t.Error(data)
	}
	if n := len(server.legs); n != 1 || <-server.legs != "" {
		t.Errorf("the server was asked for %d streams", n)
	}
	r.newLife()
	s = listen(id)
	if fresh, data := s.next(t); data != "" || fresh == id || len(server.legs) != 1 || <-server.legs != "" {
		t.Errorf("the next shim's stream begins with %q, %q", fresh, data)
	}
}

// What the caller may not hear is not heard later either, and what comes is for nobody else.
func TestListenerIsNobodyElses(t *testing.T) {
	server, r := newBroadcaster(t)
	sealed, other := r.initialize(t), r.initialize(t)
	s := r.open(t, "GET", r.engineer(t), "", r.within(sealed)...)
	id, _ := s.next(t)
	<-server.legs
	s.leave()
	server.say(t, "secret")
	s = r.open(t, "GET", r.engineer(t), "", append(r.within(other), "Last-Event-Id", id)...)
	if fresh, data := s.next(t); data != "" || fresh == id || <-server.legs != "" {
		t.Errorf("another session hears %q, %q", fresh, data)
	}
	resp, body := r.do(t, r.request(t, "GET", r.seller(t), "", append(r.within(sealed), "Last-Event-Id", id)...))
	if resp.StatusCode != 404 || strings.Contains(body, "secret") {
		t.Errorf("another person: %d %s", resp.StatusCode, body)
	}
	if resp, _ := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(sealed)...)); resp.StatusCode != 200 {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
	select {
	case <-server.left:
	case <-time.After(5 * time.Second): // less than a stream may take
		t.Error("after its end the server is heard")
	}
	resp, body = r.do(t, r.request(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", id)...))
	if resp.StatusCode != 404 || strings.Contains(body, "secret") {
		t.Errorf("after its end: %d %s", resp.StatusCode, body)
	}
}

// A server that names its events is asked for those that were missed, by its own names and never by ours.
func TestServerNamesWhatIsHeard(t *testing.T) {
	server, r := newBroadcaster(t)
	server.named = true
	sealed := r.initialize(t)
	s := r.open(t, "GET", r.engineer(t), "", r.within(sealed)...)
	primed, _ := s.next(t)
	server.say(t, "1")
	if id, data := s.next(t); id != "own-1" || data != notification("1") {
		t.Fatalf("%q %q", id, data)
	}
	<-server.legs
	s.leave()
	for last, want := range map[string]string{"own-1": "own-1", primed: ""} {
		s = r.open(t, "GET", r.engineer(t), "", append(r.within(sealed), "Last-Event-Id", last)...)
		if got := <-server.legs; s.StatusCode != 200 || got != want {
			t.Errorf("after %q: %d, the server is asked for %q", last, s.StatusCode, got)
		}
		s.leave()
	}
}

// Clients before 2025-11-25 may know no event without data: theirs goes on by what they were sent.
func TestOlderListenersAreNotPrimed(t *testing.T) {
	server, r := newBroadcaster(t)
	sealed := r.initialize(t)
	older := []string{mcp.HeaderSession, sealed, mcp.HeaderVersion, "2025-06-18"}
	s := r.open(t, "GET", r.engineer(t), "", older...)
	server.say(t, "1")
	if id, data := s.next(t); !strings.HasPrefix(id, mcp.ListenPrefix) || data != notification("1") {
		t.Errorf("%q %q", id, data)
	}
	if _, err := s.rest(); err != io.EOF {
		t.Errorf("the leg ends with %v", err)
	}
	server.say(t, "2")
	s = r.open(t, "GET", r.engineer(t), "", older...)
	if _, data := s.next(t); data != notification("2") {
		t.Error(data)
	}
}
