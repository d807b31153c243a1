package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/lambdahttp"
	"mcpgateway/internal/mcp"
)

// metered is what came of a request to a gateway that runs as a function.
type metered struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	body       string
	err        error // of a stream that broke off
	took       time.Duration
}

// meter has the rig's gateway serve a request as a function with some time left. The client leaves at once: nobody tells the
// function.
func (r *rig) meter(t *testing.T, left time.Duration, req *http.Request) (m metered) {
	t.Helper()
	a, err := lambdahttp.New(lambdahttp.Config{Handler: r.gateway, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), left)
	defer cancel()
	began := time.Now()
	out, err := a.Invoke(ctx, event(t, req))
	if err != nil {
		t.Fatal(err)
	}
	defer out.(io.Closer).Close()
	all, err := io.ReadAll(out)
	m.took, m.err = time.Since(began), err
	head, body, _ := bytes.Cut(all, make([]byte, 8))
	if err := json.Unmarshal(head, &m); err != nil {
		t.Fatal(err)
	}
	m.body = string(body)
	return m
}

// event is a function URL's for a request.
func event(t *testing.T, req *http.Request) json.RawMessage {
	t.Helper()
	headers := map[string]string{"host": req.Host}
	for name, values := range req.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(map[string]any{"version": "2.0", "rawPath": req.URL.EscapedPath(), "headers": headers,
		"requestContext": map[string]any{"http": map[string]any{"method": req.Method, "sourceIp": "192.0.2.1"}},
		"body":           base64.StdEncoding.EncodeToString(body), "isBase64Encoded": true})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// streaming is a shim that says something and then nothing more.
func streaming(said string, over <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, said)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-over:
		case <-req.Context().Done():
		}
	}
}

// Before the deadline every stream has ended by itself: with the call's error, or so that the client can go on.
func TestBudgetOfACall(t *testing.T) {
	const progress = "data: {\"method\":\"notifications/progress\"}\n\n"
	for _, c := range []struct {
		name, sent, version, want string
		whole                     bool
	}{
		{"nothing to resume by", progress, "2025-11-25", `data: {"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"The MCP server did not answer in time"`, true},
		{"modern", progress, "2026-07-28", `data: {"jsonrpc":"2.0","id":1,"error":`, true},
		{"resumable", "id: 7\n" + progress, "2025-11-25", "id: 7\n" + progress, true},
		{"within an event", "id: 7\n" + progress + "id: 8\ndata: {", "2025-11-25", "data: {", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			defer close(over)
			r := newRig(t, streaming(c.sent, over))
			got := r.meter(t, 3*time.Second, r.request(t, "POST", "github", echo, "MCP-Protocol-Version", c.version))
			if !strings.Contains(got.body, c.want) || (got.err == nil) != c.whole || got.took > 3*time.Second {
				t.Errorf("%v after %v: %s", got.err, got.took, got.body)
			}
			if resumable := c.name == "resumable"; strings.Contains(got.body, "retry: ") != resumable || resumable && strings.Contains(got.body, "error") {
				t.Errorf("got %q", got.body)
			}
		})
	}
}

// A function with less time than its server needs to start says so, and when to come back.
func TestDeadlineShorterThanTheWake(t *testing.T) {
	r := newRig(t, answerJSON)
	r.deployer.delay = 2 * time.Second
	got := r.meter(t, time.Second, r.request(t, "POST", "github", echo))
	if got.StatusCode != 504 || got.Headers["Retry-After"] == "" || !strings.Contains(got.body, "did not start in time") || got.took > time.Second {
		t.Errorf("got %+v", got)
	}
	if got = r.meter(t, 10*time.Second, r.request(t, "POST", "github", echo)); got.StatusCode != 200 {
		t.Errorf("the second time: %+v", got)
	}
	if n := r.deployer.ensured.Load(); n != 1 {
		t.Errorf("%d wakes", n)
	}
}

// An upstream that dies in the middle of its answer is no clean end, and one that dies before it is an answer.
func TestUpstreamDies(t *testing.T) {
	for name, kind := range map[string]string{"JSON": "application/json", "events": "text/event-stream"} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, "data: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		got := r.meter(t, time.Minute, r.request(t, "POST", "github", echo))
		if begun := got.StatusCode == 200; begun && got.err == nil || !begun && (got.StatusCode < 500 || !strings.Contains(got.body, `"jsonrpc"`)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// listenRig is a rig whose server says what it has on a listener's leg, and stays silent then.
func listenRig(t *testing.T, mode, said string, legs *atomic.Int32) *rig {
	over := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost && req.Header.Get("Mcp-Method") != "subscriptions/listen" {
			answerJSON(w, req)
			return
		}
		legs.Add(1)
		streaming(said, over)(w, req)
	})
	t.Cleanup(func() { close(over) })
	r.version.Catalog.Servers[0].Listen = mode
	return r
}

const (
	subscribe    = `{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":` + "\n" + `true}}}`
	subscribed   = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"},"notifications":`
	unsubscribed = `{"jsonrpc":"2.0","id":"s","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}}`
	word         = "id: 9\ndata: {\"word\":1}\n\n"
)

// What a listener gets of a function, and what it costs, by the catalog's listen.
func TestMeteredListeners(t *testing.T) {
	for _, c := range []struct {
		name, mode    string
		modern, awake bool
		want, without []string
		legs          int32
		least, most   time.Duration
		again         time.Duration // to come back after; 0: not told
	}{
		{"poll, asleep", "poll", false, false, nil, []string{"data"}, 0, 0, 15 * time.Second, pollAgain},
		{"poll, awake", "poll", false, true, []string{word}, nil, 1, pollQuiet, 15 * time.Second, pollAgain},
		{"poll, silent", "poll", false, true, nil, []string{"data"}, 1, pollQuiet, 15 * time.Second, pollAgain},
		{"poll by default", "", false, false, nil, []string{"data"}, 0, 0, 15 * time.Second, pollAgain},
		{"poll, asleep, modern", "poll", true, false, []string{subscribed + "{}", unsubscribed}, nil, 0, 0, 15 * time.Second, pollAgain},
		{"poll, awake, modern", "poll", true, true, []string{word, unsubscribed}, []string{subscribed}, 1, pollQuiet, 15 * time.Second, pollAgain},
		{"hold, asleep", "hold", false, false, []string{": keep-alive"}, []string{"data"}, 0, 2 * time.Second, 3 * time.Second, holdAgain},
		{"hold, asleep, modern", "hold", true, false, []string{subscribed + `{"toolsListChanged":true}`, unsubscribed}, nil, 0, 2 * time.Second, 3 * time.Second, holdAgain},
		{"hold, awake", "hold", false, true, []string{word}, nil, 1, 2 * time.Second, 3 * time.Second, holdAgain},
		{"off, modern", "off", true, true, []string{subscribed + "{}", unsubscribed}, nil, 0, 0, 15 * time.Second, neverAgain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var legs atomic.Int32
			said, left := word, 30*time.Second
			if c.name == "poll, silent" {
				said = ""
			}
			if c.mode == "hold" {
				left = 3 * time.Second
			}
			r := listenRig(t, c.mode, said, &legs)
			if c.awake {
				_ = r.meter(t, time.Minute, r.request(t, "POST", "github", echo))
			}
			woken := r.deployer.ensured.Load()
			req := r.request(t, "GET", "github", "", "MCP-Protocol-Version", "2025-11-25")
			if c.modern {
				req = r.request(t, "POST", "github", subscribe, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
			}
			got := r.meter(t, left, req)
			if got.StatusCode != 200 || got.err != nil || got.took < c.least || got.took > c.most {
				t.Errorf("got %+v", got)
			}
			for _, text := range c.want {
				if !strings.Contains(got.body, text) {
					t.Errorf("no %q in %q", text, got.body)
				}
			}
			for _, text := range c.without {
				if strings.Contains(got.body, text) {
					t.Errorf("%q in %q", text, got.body)
				}
			}
			var ms int
			if _, err := fmt.Sscanf(got.body[strings.LastIndex(got.body, "retry:"):], "retry: %d\n\n", &ms); err != nil || time.Duration(ms)*time.Millisecond > c.again || time.Duration(ms)*time.Millisecond < c.again*3/4 {
				t.Errorf("comes back after %d ms, %v: %q", ms, err, got.body)
			}
			if n := r.deployer.ensured.Load() - woken; n != 0 || legs.Load() != c.legs {
				t.Errorf("%d wakes and %d legs", n, legs.Load())
			}
		})
	}
}

// With listen: off there is no stream, for any gateway; but the rest of a call's answer is no such stream.
func TestNoListeners(t *testing.T) {
	var legs atomic.Int32
	r := listenRig(t, "off", word, &legs)
	_, _ = r.do(t, r.request(t, "POST", "github", echo))
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, last := range []string{"", "l1.x.3"} {
		resp, body := r.do(t, r.request(t, "GET", "github", "", "Last-Event-ID", last).WithContext(soon))
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST, DELETE" || !strings.Contains(body, `"jsonrpc":"2.0"`) || legs.Load() != 0 {
			t.Errorf("after %q: got %d %s", last, resp.StatusCode, body)
		}
	}
	if got := r.meter(t, 3*time.Second, r.request(t, "GET", "github", "", "Last-Event-ID", "8")); got.StatusCode != 200 || !strings.Contains(got.body, word) {
		t.Errorf("resumed: %+v", got)
	}
}

// A listener that is answered in the server's place must be one.
func TestUnfitSubscriptions(t *testing.T) {
	r := listenRig(t, "poll", word, new(atomic.Int32))
	for name, body := range map[string]string{
		"no JSON":        `{`,
		"another method": strings.Replace(subscribe, "subscriptions/listen", "tools/list", 1),
		"no id":          strings.Replace(subscribe, `"id":"s",`, "", 1),
	} {
		got := r.meter(t, time.Minute, r.request(t, "POST", "github", body, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"))
		if got.StatusCode != 400 || !strings.Contains(got.body, `"error"`) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A front may hold an event back until something follows: something does.
func TestEventsAreChased(t *testing.T) {
	over := make(chan struct{})
	r := newRig(t, streaming("data: 1\n\n", over))
	a, err := lambdahttp.New(lambdahttp.Config{Handler: r.gateway, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.gateway.keepAlive = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := a.Invoke(ctx, event(t, r.request(t, "POST", "github", echo)))
	if err != nil {
		t.Fatal(err)
	}
	var all string
	for buf := make([]byte, 1<<10); !strings.HasSuffix(all, "data: 1\n\n"+string(comment)); {
		n, err := out.Read(buf)
		if all += string(buf[:n]); err != nil {
			t.Fatalf("%v after %q", err, all)
		}
	}
	close(over)
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
}

// In a cluster a poll keeps nothing awake: Knative counts every request.
func TestPollsKeepNoInstanceAwake(t *testing.T) {
	r, f := newClusterRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, word+mcp.SilenceComment)
			return
		}
		answerJSON(w, req)
	})
	f.set("mcp-github", func(s *fakeService) { s.actual, s.desired = 1, 1 })
	for _, last := range []string{"", "l1.x.3"} {
		if got := r.meter(t, time.Minute, r.request(t, "GET", "github", "", "Last-Event-ID", last)); strings.Contains(got.body, "data") || len(f.hosts) != 0 {
			t.Errorf("after %q: an instance that others call was asked %d times: %q", last, len(f.hosts), got.body)
		}
	}
	_ = r.meter(t, time.Minute, r.request(t, "POST", "github", echo))
	if got := r.meter(t, time.Minute, r.request(t, "GET", "github", "")); !strings.Contains(got.body, word) {
		t.Errorf("just after a call: %q", got.body)
	}
}

// A held listener takes the place of an older one of its session, which ends when a shim says so.
func TestSupersededListener(t *testing.T) {
	var asked atomic.Value
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Store(req.Header.Get(mcp.HeaderSupersede))
		if req.Method == http.MethodPost {
			answerJSON(w, req)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, word+mcp.SupersededComment)
	})
	r.version.Catalog.Servers[0].Listen = "hold"
	_ = r.meter(t, time.Minute, r.request(t, "POST", "github", echo))
	if asked.Load() != "" {
		t.Error("a call takes a listener's place")
	}
	got := r.meter(t, time.Minute, r.request(t, "GET", "github", ""))
	_, end, _ := strings.Cut(got.body, word)
	if !strings.HasPrefix(end, "retry: 2") || got.err != nil || got.took > 10*time.Second || asked.Load() != "1" {
		t.Errorf("ended with %q after %v, asked with %q", end, got.took, asked.Load())
	}
	_ = r.meter(t, time.Minute, r.request(t, "GET", "github", "", "Last-Event-ID", "l1.x.3"))
	if asked.Load() != "1" {
		t.Error("who lost the connection does not take the place")
	}
	_ = r.meter(t, time.Minute, r.request(t, "GET", "github", "", "Last-Event-ID", "9"))
	if asked.Load() != "" {
		t.Error("the rest of a call's answer takes a listener's place")
	}
	lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
	defer leave()
	expectLine(t, lines, `data: {"word":1}`)
	if asked.Load() != "" {
		t.Error("a gateway that learns who leaves takes a listener's place")
	}
}

// What the first request would wait for is there before it, where it can be had.
func TestWarm(t *testing.T) {
	r, f := newClusterRig(t, answerJSON)
	f.set("mcp-github", func(s *fakeService) { s.actual, s.desired = 1, 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r.gateway.warm(ctx)
	conns, asked := f.count(func() int { return f.conns }), f.count(func() int { return f.asked })
	if conns != 1 || asked != 1 {
		t.Errorf("%d connections to the ingress, %d questions", conns, asked)
	}
	if got := r.meter(t, time.Minute, r.request(t, "POST", "github", echo)); got.StatusCode != 200 || f.count(func() int { return f.conns }) != conns {
		t.Errorf("a call: %+v, %d connections", got, f.conns)
	}
	f.ingress.Close()
	f.api.Close()
	began := time.Now()
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r.gateway.warm(ctx)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("without a cluster it took %v", took)
	}
}
