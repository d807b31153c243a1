package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
)

// A stream whose call takes too long ends with the call's error, where there is a place for it, and is cut off elsewhere.
func TestCallThatTakesTooLong(t *testing.T) {
	const (
		progress = "data: {\"method\":\"notifications/progress\"}\n\n"
		batch    = `[{"jsonrpc":"2.0","id":"a","method":"tools/list"},{"jsonrpc":"2.0","id":"b","method":"tools/list"}]`
		single   = `{"jsonrpc":"2.0","id":"a","method":"tools/list"}`
	)
	for _, c := range []struct {
		name, request, sent, want string
		whole                     bool
	}{
		{"nothing was said", single, "", `data: {"jsonrpc":"2.0","id":"a","error":{"code":-32000,"message":"The MCP server did not answer in time","data":{`, true},
		{"something was said", single, progress, progress + "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\"", true},
		{"within an event", single, progress + "data: {\"id\"", progress + "data: {\"id\"", false},
		{"a batch", batch, progress, progress, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, c.sent)
				_ = http.NewResponseController(w).Flush()
				<-over
			})
			defer close(over)
			r.version.Platform.Limits.CallTimeout = catalog.Duration(2 * time.Second) // enough for the stream to begin
			r.gateway.keepAlive = time.Hour
			resp, err := http.DefaultTransport.RoundTrip(r.request(t, "POST", "github", c.request))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if !strings.Contains(string(body), c.want) || (err == nil) != c.whole || !c.whole && string(body) != c.want {
				t.Errorf("%v, %s", err, cmp.Diff(c.want, string(body)))
			}
			if records := r.audit.records(t); len(records) != 1 || records[0].Outcome != audit.Failed {
				t.Errorf("recorded: %+v", records)
			}
		})
	}
}
