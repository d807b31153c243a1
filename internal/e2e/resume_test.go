package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// interrupted is a call in a session of alice's whose client lost its connection.
type interrupted struct {
	*system
	server, token, session string
}

func (s *system) interrupted(server string) *interrupted {
	token := s.token("alice", server, engineering)
	return &interrupted{s, server, token, s.session(server, token)}
}

// progress is a call that tells of its progress ten times, in a second.
const progress = `"name":"progress","arguments":{"count":10,"ms":100}`

// lose makes a call, and loses the connection after so many events.
func (s *interrupted) lose(call string, events int) (last string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	r := s.request("POST", s.server, s.token, `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{`+call+`,"_meta":{"progressToken":1}}}`,
		"Mcp-Session-Id", s.session, "MCP-Protocol-Version", "2025-11-25")
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for in := mcp.NewEventReader(resp.Body, 1<<20); events > 0; {
		e, err := in.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		if e.ID != nil {
			last, events = string(e.ID), events-1
		}
	}
	return last
}

func (s *interrupted) resume(last string) string {
	s.t.Helper()
	resp, body := s.do(s.request("GET", s.server, s.token, "", "Mcp-Session-Id", s.session, "MCP-Protocol-Version", "2025-11-25", "Last-Event-ID", last))
	if resp.StatusCode != 200 {
		s.t.Fatalf("%d %s", resp.StatusCode, body)
	}
	return body
}

// startStdio is a system with a stdio server.
func startStdio(t *testing.T) *system {
	return startAs(t, layout{servers: fmt.Sprintf("  - {id: stdio, runtime: {command: {exec: %q, args: [%s]}}, scale: {idle: %s}}\n", os.Args[0], stdioServer, idle),
		policies: "  - {name: stdio, allow: {groups: [engineering]}, servers: [stdio]}\n"})
}

// A client that lost its connection in the middle of a call gets the rest of the answer where it left, once the call is over,
// too; when nobody has it any more it is told so. A stdio server knows nothing of it.
func TestStreamIsTakenUp(t *testing.T) {
	t.Parallel()
	s := startStdio(t).interrupted("stdio")
	for name, pause := range map[string]time.Duration{"while it runs": 0, "when it is over": 1500 * time.Millisecond} {
		last := s.lose(progress, 4) // the first has no data
		time.Sleep(pause)
		body := s.resume(last)
		if strings.Count(body, `"notifications/progress"`) != 7 || strings.Count(body, `"id":"c"`) != 1 || !strings.Contains(body, `"result"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
	last := s.lose(progress, 2)
	for _, pid := range s.processes("shim") {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one may be gone with another
	}
	s.eventually("the groups are gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	if body := s.resume(last); !strings.Contains(body, `{"jsonrpc":"2.0","id":"c","error":{"code":-32000,"message":"The result is lost`) || strings.Contains(body, "progress") {
		t.Errorf("after the end: %s", body)
	}
	if body := s.resume(s.lose(progress, 2)); strings.Count(body, `"notifications/progress"`) != 9 {
		t.Errorf("in the session that goes on: %s", body)
	}
}

// A reply that came while its client was away waits for it longer than the server may idle, and is delivered once; then the
// server goes to sleep. For a client that had it all nothing waits.
func TestServerStaysForTheAnswer(t *testing.T) {
	t.Parallel()
	s := startStdio(t).interrupted("stdio")
	last := s.lose(progress, 4)
	time.Sleep(time.Second + 3*idle)
	if s.starts() != 1 || len(s.processes("shim")) == 0 {
		t.Fatalf("%d starts, %d shims", s.starts(), len(s.processes("shim")))
	}
	if body := s.resume(last); strings.Count(body, `"notifications/progress"`) != 7 || strings.Count(body, `"id":"c"`) != 1 || !strings.Contains(body, `"result"`) {
		t.Errorf("when it comes back: %s", body)
	}
	s.eventually("it sleeps", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	s.lose(progress, 12)
	s.eventually("it sleeps again", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
}

// A listener that lost its connection hears what it missed, once. One whose server went meanwhile wakes nothing, and hears the
// next from its beginning.
func TestListenerIsTakenUp(t *testing.T) {
	t.Parallel()
	s := startAs(t, layout{alone: true, servers: fmt.Sprintf("  - {id: loud, runtime: {command: {exec: %q, args: [-addr, \"127.0.0.1:{port}\"], http: {}}}, scale: {idle: %s}}\n",
		filepath.Join(programs, "sample-server"), idle), policies: "  - {name: loud, allow: {groups: [engineering]}, servers: [loud]}\n"})
	listener := s.interrupted("loud")
	listen := func(last string) (*mcp.EventReader, context.CancelFunc) {
		t.Helper()
		ctx, leave := context.WithTimeout(t.Context(), 30*time.Second)
		t.Cleanup(leave)
		resp, err := http.DefaultTransport.RoundTrip(s.request("GET", "loud", listener.token, "", "Mcp-Session-Id", listener.session,
			"MCP-Protocol-Version", "2025-11-25", "Last-Event-ID", last).WithContext(ctx))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return mcp.NewEventReader(resp.Body, 1<<20), leave
	}
	next := func(events *mcp.EventReader) (id, data string) {
		t.Helper()
		for {
			e, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e.ID != nil { // else it is a comment
				return string(e.ID), string(e.Data)
			}
		}
	}
	notify := func() {
		t.Helper()
		if resp, body := s.call("loud", listener.token, "notify", `{"message":"x"}`); resp.StatusCode != 200 || !strings.Contains(body, "notified") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	events, leave := listen("")
	primed, data := next(events)
	if !strings.HasPrefix(primed, mcp.ListenPrefix) || data != "" {
		t.Fatalf("primed by %q, %q", primed, data)
	}
	leave()
	for range 2 {
		notify() // while it is away
	}
	events, leave = listen(primed)
	for range 2 {
		if primed, data = next(events); !strings.Contains(data, "list_changed") {
			t.Fatal(data)
		}
	}
	leave()
	events, leave = listen(primed)
	notify()
	id, data := next(events)
	if !strings.Contains(data, "list_changed") || id == primed {
		t.Fatalf("%q %s", id, data)
	}
	leave()
	s.eventually("it sleeps", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	events, leave = listen(id)
	defer leave()
	time.Sleep(idle)
	if n := s.starts(); n != 1 {
		t.Errorf("%d starts", n)
	}
	if resp, body := s.call("loud", listener.token, "echo", `{"message":"wake"}`); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	woken, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() { // so that it does not sleep again before the gateway looks for it
		for woken.Err() == nil {
			if resp, err := http.DefaultTransport.RoundTrip(s.callRequest("loud", listener.token, "echo", `{"message":"stay"}`)); err == nil {
				_ = resp.Body.Close()
			}
			time.Sleep(idle / 5)
		}
	})
	defer calls.Wait()
	defer stop()
	if fresh, data := next(events); data != "" || !strings.HasPrefix(fresh, mcp.ListenPrefix) || strings.Split(fresh, ".")[1] == strings.Split(id, ".")[1] {
		t.Errorf("after %q comes %q, %q", id, fresh, data)
	}
}
