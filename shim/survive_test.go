package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/session"
)

// A server that was started again, with its shim or alone, is told of the session before the call, which its client sees
// nothing of.
func TestSessionOutlivesItsServer(t *testing.T) {
	for name, c := range map[string]struct {
		stream  bool
		refusal int
		end     func(*rig)
	}{
		"with the shim":           {end: (*rig).newLife},
		"with the shim, streamed": {stream: true, end: (*rig).newLife},
		"alone":                   {refusal: 404, end: func(*rig) {}},
		"alone, and answers 400":  {refusal: 400, end: func(*rig) {}},
	} {
		t.Run(name, func(t *testing.T) {
			server := newForgetful()
			if server.stream = c.stream; c.refusal != 0 {
				server.refusal = c.refusal
			}
			r := newRig(t, server.ServeHTTP)
			sealed := r.initialize(t)
			server.seen()
			for life := 2; life < 4; life++ {
				server.restart("s")
				c.end(r)
				inner := fmt.Sprintf("inner-%d", life)
				for range 2 {
					resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
					if resp.StatusCode != 200 || !strings.Contains(body, `"ran":"tools/call"`) || resp.Header.Get(mcp.HeaderSession) != sealed || strings.Contains(body, "changed") {
						t.Fatalf("life %d: %d %s in %q", life, resp.StatusCode, body, resp.Header.Get(mcp.HeaderSession))
					}
				}
				messages, hellos := server.seen()
				if got, want := strings.Join(messages, ", "), "POST notifications/initialized "+inner+", POST tools/call "+inner+", POST tools/call "+inner; got != want {
					t.Errorf("life %d: the server saw %s, want %s", life, got, want)
				}
				if len(hellos) != 1 || hellos[0] != helloAgain {
					t.Errorf("life %d: the server was told %q", life, hellos)
				}
			}
			names := map[string]bool{}
			for _, record := range r.records.all() {
				names[record.SessionID] = true
			}
			if len(names) != 1 {
				t.Errorf("records name the session %v", names)
			}
		})
	}
}

// A server that counts its sessions gives an id twice: whoever had it before its last start is not let into another's session.
func TestSessionIsNotItsNamesakes(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	mine := r.initialize(t)
	server.restart("s")
	server.begun = 0
	r.newLife()
	theirs := r.initialize(t) // the server calls it as it called mine
	server.seen()
	for sealed, want := range map[string]string{mine: "POST tools/call inner-2", theirs: "POST tools/call inner-1"} {
		if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if messages, _ := server.seen(); len(messages) == 0 || messages[len(messages)-1] != want {
			t.Errorf("the server saw %q, want %s", messages, want)
		}
	}
}

// However many calls come at once, a session is begun again once, and each of them runs once.
func TestSessionIsBegunAgainOnce(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	server.restart("s")
	r.newLife()
	server.slow = 100 * time.Millisecond
	server.seen()
	const calls = 20
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	all.Wait()
	if messages, hellos := server.seen(); len(hellos) != 1 || len(messages) != calls+1 {
		t.Errorf("begun %d times, %d messages", len(hellos), len(messages))
	}
}

// What was meant for the server before does not reach the new one, and begins nothing there.
func TestOnlyCallsBeginSessionsAgain(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	server.restart("s")
	r.newLife()
	server.seen()
	for _, body := range []string{`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, `{"jsonrpc":"2.0","id":7,"result":{}}`} {
		if resp, got := r.post(t, r.engineer(t), body, r.within(sealed)...); resp.StatusCode != 202 || got != "" {
			t.Errorf("%s: %d %s", body, resp.StatusCode, got)
		}
	}
	resp, body := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(sealed)...))
	if resp.StatusCode != 204 {
		t.Errorf("DELETE: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 404 || !strings.Contains(body, "initialize again") {
		t.Errorf("after DELETE: %d %s", resp.StatusCode, body)
	}
	if messages, hellos := server.seen(); messages != nil || hellos != nil {
		t.Errorf("the server saw %q, %q", messages, hellos)
	}
}

// A session that its client ended at a server that knew it stays ended.
func TestEndedSessionIsNotBegunAgain(t *testing.T) {
	server := newForgetful()
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	if resp, body := r.do(t, r.request(t, "DELETE", r.engineer(t), "", r.within(sealed)...)); resp.StatusCode != 200 {
		t.Fatalf("DELETE: %d %s", resp.StatusCode, body)
	}
	server.seen()
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 404 {
		t.Errorf("after DELETE: %d %s", resp.StatusCode, body)
	}
	if _, hellos := server.seen(); hellos != nil {
		t.Error("it was begun again")
	}
	if records := r.records.all(); records[len(records)-1].ResponseStatus != 404 || records[len(records)-1].Outcome == audit.Forwarded {
		t.Errorf("recorded as %+v", records[len(records)-1])
	}
}

// Where the server cannot go on with a session its client is told to begin another.
func TestSessionThatCannotGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*forgetful, *rig)
		status int
	}{
		"another revision":    {func(f *forgetful, _ *rig) { f.version = "2025-06-18" }, 404},
		"no session":          {func(f *forgetful, _ *rig) { f.nameless = true }, 404},
		"sessions are strict": {func(_ *forgetful, r *rig) { r.chain.living, r.chain.forward.Living = nil, nil }, 404},
		"its key is gone": {func(_ *forgetful, r *rig) {
			r.chain.sealer, _ = session.NewSealer("github", bytes.Repeat([]byte{1}, session.KeySize))
		}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			server := newForgetful()
			r := newRig(t, server.ServeHTTP)
			sealed := r.initialize(t)
			server.restart("s")
			r.newLife()
			server.seen()
			server.spoken = nil
			c.change(server, r)
			resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
			messages, _ := server.seen()
			if resp.StatusCode != c.status || len(messages) > 0 {
				t.Errorf("%d %s, the server saw %q", resp.StatusCode, body, messages)
			}
			// A server without sessions would run what it was sent outside of any.
			if name == "no session" && strings.Contains(strings.Join(server.spoken, " "), "tools/call") {
				t.Errorf("the server heard %q", server.spoken)
			}
		})
	}
}

// ours are the lines and events that the shim adds to a stream that can be taken up.
var ours = regexp.MustCompile(`(?m)^id: [rl]1\.\S+\n(data: \n\n)?`)

// A server that says something else of itself than before may have other tools: its client is told once, in the first
// stream that it gets.
func TestAnotherServerIsAnnounced(t *testing.T) {
	for name, stream := range map[string]bool{"in the call's stream": true, "in the listening stream": false} {
		t.Run(name, func(t *testing.T) {
			server := newForgetful()
			server.stream = stream
			r := newRig(t, server.ServeHTTP)
			sealed := r.initialize(t)
			server.restart("s, version 2")
			r.newLife()
			_, first := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
			if !stream {
				_, first = r.do(t, r.request(t, "GET", r.engineer(t), "", r.within(sealed)...))
			}
			first = ours.ReplaceAllString(first, "")
			const want = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n" +
				"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}\n\n"
			if !strings.HasPrefix(first, want) || strings.Contains(first, "resources") || strings.Count(first, "data:") != 3 {
				t.Errorf("got %q", first)
			}
			server.restart("s, version 2")
			_, again := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
			_, listening := r.do(t, r.request(t, "GET", r.engineer(t), "", r.within(sealed)...))
			if strings.Contains(again+listening, "list_changed") {
				t.Errorf("announced again: %q, %q", again, listening)
			}
		})
	}
}

// A server that is as it was before the last change is another one again: the client has heard of the change.
func TestServerThatChangesBackIsAnnounced(t *testing.T) {
	server := newForgetful()
	server.stream = true
	r := newRig(t, server.ServeHTTP)
	sealed := r.initialize(t)
	for n, name := range []string{"s, version 2", "s, version 2", "s", "s", "s, version 2"} {
		server.restart(name)
		_, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...)
		if told, want := strings.Contains(body, "notifications/tools/list_changed"), n%2 == 0; told != want {
			t.Errorf("start %d, as %q: told %v, want %v: %q", n+2, name, told, want, body)
		}
	}
}

// Without sessions an id of the server's is not passed on, and one that a client still has opens nothing and hurts nobody.
func TestNoSessions(t *testing.T) {
	var got []string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		got = append(got, req.Header.Get(mcp.HeaderSession))
		w.Header().Set(mcp.HeaderSession, "inner")
		answerJSON(`{}`)(w, req)
	})
	r.chain.sealer, r.chain.living, r.chain.forward.Sealer, r.chain.forward.Living = nil, nil, nil, nil
	resp, body := r.post(t, r.engineer(t), callTool("x"), mcp.HeaderSession, "old")
	if resp.StatusCode != 200 || resp.Header.Get(mcp.HeaderSession) != "" || strings.Join(got, "") != "" {
		t.Errorf("%d %s, session %q, the server saw %q", resp.StatusCode, body, resp.Header.Get(mcp.HeaderSession), got)
	}
}

// A listener of a stdio server is silent until a call begins its session again: each session may be a process. Its leg ends
// then, so that the gateway opens another.
func TestListenerBeginsNoProcess(t *testing.T) {
	server := newForgetful()
	dir, err := os.MkdirTemp("", "shim") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	bridge := &httptest.Server{Listener: listener, Config: &http.Server{Handler: server, ReadHeaderTimeout: time.Minute}}
	bridge.Start()
	t.Cleanup(bridge.Close)
	r := newRigTo(t, forward.Config{Upstream: &url.URL{Scheme: "unix", Path: listener.Addr().String()}})
	sealed := r.initialize(t)
	server.restart("s")
	r.newLife()
	server.seen()
	r.chain.forward.Silence = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	leg, err := http.DefaultTransport.RoundTrip(r.request(t, "GET", r.engineer(t), "", r.within(sealed)...).WithContext(ctx))
	if err != nil || leg.StatusCode != 200 {
		t.Fatalf("%v, %v", leg, err)
	}
	defer leg.Body.Close()
	if messages, hellos := server.seen(); messages != nil || hellos != nil {
		t.Errorf("the listener alone has the server see %q, %q", messages, hellos)
	}
	if resp, body := r.post(t, r.engineer(t), callTool("x"), r.within(sealed)...); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if said, err := io.ReadAll(leg.Body); ours.ReplaceAllString(string(said), "") != mcp.SilenceComment || err != nil {
		t.Errorf("the leg ends with %q, %v", said, err)
	}
	if _, body := r.do(t, r.request(t, "GET", r.engineer(t), "", r.within(sealed)...)); !strings.Contains(body, "notifications/x") {
		t.Errorf("the next leg hears %q", body)
	}
	server.restart("s")
	again, err := http.DefaultTransport.RoundTrip(r.request(t, "GET", r.engineer(t), "", r.within(sealed)...).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	said := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(again.Body)
		said <- string(text)
	}()
	select {
	case text := <-said:
		t.Errorf("of a session that was lost a second time the leg ends with %q at once: the gateway would come again and again", text)
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	<-said
}
