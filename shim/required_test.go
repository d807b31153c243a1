package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/audittest"
	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/audit/spool"
	"mcpgateway/shim/trail"
)

// requiring is a rig whose answers wait for a sink.
func requiring(t *testing.T, server http.HandlerFunc) (*rig, *audittest.Sink) {
	t.Helper()
	r := newRig(t, server)
	r.rules.Version, r.rules.Audit = 2, &audit.Settings{Required: true}
	receiver := audittest.New(t)
	to, err := sink.New(sink.Config{URL: receiver.URL, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	own, err := spool.Open(spool.Config{Folder: t.TempDir(), MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r.chain.trail, err = trail.New(trail.Config{Sink: to, Spool: own, Second: io.Discard, Logger: slog.New(slog.DiscardHandler),
		Interval: time.Hour, Records: 1000, Patience: 3 * time.Second, Backoff: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.chain.trail.Close(ctx)
	})
	r.reload(t, r.rules.Policies...)
	return r, receiver
}

const toolResult = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`

// serve answers as JSON, or as an event stream with a notification before the result.
func serve(stream bool, calls *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if !stream {
			answerJSON(toolResult)(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\ndata: %s\n\n", `{"jsonrpc":"2.0","method":"notifications/progress"}`, toolResult)
	}
}

func TestRequiredAudit(t *testing.T) {
	for name, stream := range map[string]bool{"JSON": false, "SSE": true} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			r, receiver := requiring(t, serve(stream, &calls))
			if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 200 || !strings.Contains(body, "content") || len(receiver.Records()) != 1 {
				t.Fatalf("sink up: %d %s, %d records", resp.StatusCode, body, len(receiver.Records()))
			}
			receiver.Set(audittest.Down)
			resp, body := r.post(t, r.engineer(t), callTool("x"))
			if want := map[bool]int{false: 500, true: 200}[stream]; resp.StatusCode != want {
				t.Errorf("status %d", resp.StatusCode)
			}
			if strings.Contains(body, "content") || !strings.Contains(body, "withheld") || !strings.Contains(body, `"id":1`) || !strings.Contains(body, "-32603") {
				t.Errorf("without a record: %s", body)
			}
			if n := calls.Load(); n != 2 {
				t.Errorf("the server was asked %d times", n)
			}
			resp, body = r.post(t, r.engineer(t), callTool("x"))
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "-32000") || !strings.Contains(body, `"id":1`) || calls.Load() != 2 {
				t.Errorf("sink known as down: %d %s, the server was asked %d times", resp.StatusCode, body, calls.Load())
			}
			receiver.Set(audittest.Up)
			for until := time.Now().Add(10 * time.Second); r.chain.trail.Available() != nil && time.Now().Before(until); {
				time.Sleep(5 * time.Millisecond)
			}
			if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 200 || !strings.Contains(body, "content") {
				t.Errorf("sink up again: %d %s", resp.StatusCode, body)
			}
			for id, n := range receiver.Times() {
				if n != 1 {
					t.Errorf("%s arrived %d times", id, n)
				}
			}
			if n := len(receiver.Times()); n != 4 {
				t.Errorf("%d records arrived", n)
			}
		})
	}
}

// What asks the server for nothing does not wait, and is not refused.
func TestRequiredAuditLetsNotificationsPass(t *testing.T) {
	r, receiver := requiring(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	receiver.Set(audittest.Down)
	r.post(t, r.engineer(t), callTool("x")) // the sink is known as down from now on
	if resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","method":"notifications/initialized"}`); resp.StatusCode != 202 || body != "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":9,"result":{}}`); resp.StatusCode != 503 {
		t.Errorf("a reply to the server: %d %s", resp.StatusCode, body)
	}
}

// That somebody listens is recorded before anything is heard.
func TestRequiredAuditOfAListener(t *testing.T) {
	r, receiver := requiring(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := http.DefaultClient.Do(r.request(t, "GET", r.engineer(t), "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('}'); err != nil || len(receiver.Records()) != 1 {
		t.Errorf("%q, %v, with %d records", line, err, len(receiver.Records()))
	}
	receiver.Set(audittest.Down)
	if resp, body := r.do(t, r.request(t, "GET", r.engineer(t), "")); resp.StatusCode != 500 || strings.Contains(body, "list_changed") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// Bodies are kept as far as the settings say, of streams every message, and without what paths name.
func TestBodiesInRecords(t *testing.T) {
	var calls atomic.Int32
	for name, c := range map[string]struct {
		settings          audit.Settings
		stream            bool
		request, response string
		cut               bool
	}{
		"none":     {audit.Settings{Bodies: audit.BodiesNone}, false, "", "", false},
		"metadata": {audit.Settings{}, false, "", "", false},
		"full":     {audit.Settings{Bodies: audit.BodiesFull, MaxBody: 1024}, false, callTool("x"), toolResult, false},
		"stream": {audit.Settings{Bodies: audit.BodiesFull, MaxBody: 1024}, true, callTool("x"),
			`[{"jsonrpc":"2.0","method":"notifications/progress"},` + toolResult + "]", false},
		"redacted": {audit.Settings{Bodies: audit.BodiesFull, MaxBody: 1024, Redact: []string{"$.params.name", "$.result"}}, false,
			callTool("[redacted]"), `{"jsonrpc":"2.0","id":1,"result":"[redacted]"}`, false},
		"cut":        {audit.Settings{Bodies: audit.BodiesFull, MaxBody: 20}, false, `"{\"jsonrpc\":\"2.0\",\"id"`, `"{\"jsonrpc\":\"2.0\",\"id"`, true},
		"cut stream": {audit.Settings{Bodies: audit.BodiesFull, MaxBody: 20}, true, `"{\"jsonrpc\":\"2.0\",\"id"`, `["{\"jsonrpc\":\"2.0\",\"me"]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, serve(c.stream, &calls))
			r.rules.Version, r.rules.Audit = 2, &c.settings
			r.reload(t, r.rules.Policies...)
			r.post(t, r.engineer(t), callTool("x"))
			got := r.records.all()[0]
			if string(got.RequestBody) != c.request || string(got.ResponseBody) != c.response || got.RequestTruncated != c.cut || got.ResponseTruncated != c.cut {
				t.Errorf("request %s (%v)\nresponse %s (%v)", got.RequestBody, got.RequestTruncated, got.ResponseBody, got.ResponseTruncated)
			}
			if none := c.settings.Bodies == audit.BodiesNone; none != (got.RequestHeaders == nil) {
				t.Errorf("headers %v", got.RequestHeaders)
			}
			for name, values := range got.RequestHeaders {
				if name == "Authorization" && values[0] != "[redacted]" {
					t.Errorf("%s: %s", name, values)
				}
			}
		})
	}
}
