package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
)

const (
	echoProgress = `{"jsonrpc":"2.0","id":"e","method":"tools/call","params":{"name":"echo","_meta":{"progressToken":7}}}`
	pretty       = "{\r\n  \"jsonrpc\": \"2.0\",\n  \"id\": \"e\",\n  \"result\": {\"text\": \"\\n\"}\n}"
)

// answers writes one answer, whatever is asked.
func answers(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// events are the data of a stream's events.
func events(t *testing.T, stream string) (out []string) {
	t.Helper()
	for r := mcp.NewEventReader(strings.NewReader(stream), maxEvent); ; {
		e, err := r.Next()
		if err == io.EOF && len(e.Raw) == 0 {
			return out
		}
		if err != nil {
			t.Fatalf("%v in %q", err, stream)
		}
		if len(e.Data) > 0 {
			out = append(out, string(e.Data))
		}
	}
}

// A client that asked for progress hears that its server starts, in values that rise and leave room for the server's own;
// whatever the call comes to is the stream's last event, under the call's id.
func TestWakingIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		shim http.HandlerFunc
		fail error
		last string // begins so
	}{
		"a document":         {answers(200, "application/json", pretty), nil, `{    "jsonrpc": "2.0",   "id": "e",   "result": {"text": "\n"} }`},
		"a stream":           {answers(200, "text/event-stream", "data: {\"method\":\"notifications/progress\"}\n\ndata: {\"id\":\"e\"}\n\n"), nil, `{"id":"e"}`},
		"an error":           {answers(404, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}`), nil, `{"jsonrpc":"2.0","id":"e","error":{"code":-32001,"message":"Session not found"}}`},
		"an error in lines":  {answers(403, "application/json", "{\"error\":{\n\"code\":-1}}"), nil, `{"jsonrpc":"2.0","id":"e","error":{"code":-1}}`},
		"no explanation":     {answers(500, "application/json", "[]"), nil, `{"jsonrpc":"2.0","id":"e","error":{"code":-32000,"message":"The MCP server answered 500`},
		"a page":             {answers(200, "text/html", "<p>"), nil, `{"jsonrpc":"2.0","id":"e","error":{"code":-32000,"message":"The MCP server answered 200`},
		"it does not start":  {answerJSON, &deploy.StartError{Code: deploy.CodeTimeout, Message: "Too slow."}, `{"jsonrpc":"2.0","id":"e","error":{"code":-32000,"message":"Too slow."`},
		"it is not admitted": {answerJSON, &deploy.StartError{Code: deploy.CodeUnknown}, `{"jsonrpc":"2.0","id":"e","error":{"code":-32001,"message":"You may not use`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.shim)
			r.deployer.delay, r.deployer.fail = time.Second, c.fail
			r.gateway.longWake, r.gateway.keepAlive = 100*time.Millisecond, 20*time.Millisecond
			resp, body := r.do(t, r.request(t, "POST", "github", echoProgress))
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v", resp.StatusCode, resp.Header)
			}
			if !strings.Contains(body, ": keep-alive\n\n") {
				t.Errorf("no comments in %s", body)
			}
			var before float64 = -2
			told := 0
			all := events(t, body)
			for _, e := range all[:len(all)-1] {
				var p struct {
					Method string
					Params struct {
						ProgressToken int
						Progress      float64
						Message       string
					}
				}
				if err := json.Unmarshal([]byte(e), &p); err != nil || p.Method != "notifications/progress" {
					t.Fatalf("%v: %s", err, e)
				}
				if p.Params.Message == "" {
					continue // the server's
				}
				if told++; p.Params.ProgressToken != 7 || p.Params.Progress <= before || p.Params.Progress >= 0 {
					t.Errorf("after %g: %s", before, e)
				}
				before = p.Params.Progress
			}
			if last := all[len(all)-1]; told < 2 || !strings.HasPrefix(last, c.last) {
				t.Errorf("told %d times, then %s", told, last)
			}
			refused := c.fail != nil || name == "a page" || name == "no explanation"
			if records := r.audit.records(t); (len(records) == 1) != refused || refused && records[0].Outcome == audit.Forwarded {
				t.Errorf("recorded: %+v", records)
			}
		})
	}
}

// What starts soon, or cannot be told, is answered as usual, with its status. Who wants no progress gets none.
func TestWakingIsNotTold(t *testing.T) {
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	for name, c := range map[string]struct {
		body   string
		header []string
		soon   bool
		stream bool
	}{
		"soon":                    {body: echoProgress, soon: true},
		"initialize":              {body: initialize},
		"a batch":                 {body: "[" + echo + "]"},
		"no stream is taken":      {body: echo, header: []string{"Accept", "application/json"}},
		"no progress is wanted":   {body: echo, stream: true},
		"a stream is taken first": {body: echo, header: []string{"Accept", "text/event-stream;q=1,application/json"}, stream: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, answers(503, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"down"}}`))
			r.deployer.delay, r.gateway.longWake = time.Second, 50*time.Millisecond
			if c.soon {
				r.deployer.delay, r.gateway.longWake = 0, time.Minute
			}
			resp, body := r.do(t, r.request(t, "POST", "github", c.body, c.header...))
			if got := resp.Header.Get("Content-Type"); (got == "text/event-stream") != c.stream || (resp.StatusCode == 200) != c.stream {
				t.Errorf("%d %s %s", resp.StatusCode, got, body)
			}
			if c.stream && len(events(t, body)) != 1 {
				t.Errorf("%s", body)
			}
		})
	}
}

// A server that is there, and works for long, says itself how that goes, or nothing: also in a cluster, where every call goes
// the way of those that wake. One that starts there is told of.
func TestWorkIsNoWaking(t *testing.T) {
	release := make(chan struct{})
	shim := func(w http.ResponseWriter, req *http.Request) {
		<-release
		answerJSON(w, req)
	}
	processes := newRig(t, shim)
	clusters, f := newClusterRig(t, shim)
	f.services["mcp-github"] = running()
	clusters.gateway.servers.slow = time.Minute
	for name, r := range map[string]*rig{"processes": processes, "a cluster": clusters} {
		r.gateway.longWake = 50 * time.Millisecond
		time.AfterFunc(time.Second, func() { release <- struct{}{} })
		if resp, body := r.do(t, r.request(t, "POST", "github", echoProgress)); resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	start := make(chan struct{})
	f.set("mcp-github", func(s *fakeService) { *s = fakeService{start: start} })
	clusters.gateway.servers = newServers(f.newCluster(), clusters.gateway.log) // that knows nothing yet
	clusters.gateway.servers.slow = time.Minute
	time.AfterFunc(time.Second, func() { close(start); release <- struct{}{} })
	resp, body := clusters.do(t, clusters.request(t, "POST", "github", echoProgress))
	if all := events(t, body); resp.StatusCode != 200 || len(all) < 2 || !strings.Contains(all[0], "is starting") || all[len(all)-1] != "{}" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// The clock is started once, and may be over before anybody knows of it.
func TestWakingEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &waking{timer: time.AfterFunc(time.Hour, func() { t.Error("told after the end") })}
		if w.told() {
			t.Error("told of nothing")
		}
		w.stop()
		time.Sleep(2 * time.Hour)
	})
	r := newRig(t, answerJSON)
	c := newCall(httptest.NewRecorder(), r.request(t, "POST", "github", echo), r.gateway.current.Load())
	c.server, c.body = "github", []byte(echo)
	c.entry, _ = c.catalog.Server(c.server)
	w := r.gateway.watch(t.Context(), c)
	w.told()
	if w.tell(t.Context()); w.told() || c.begun {
		t.Error("told while the answer was under way")
	}
}
