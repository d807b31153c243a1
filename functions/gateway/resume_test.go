package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rest is a shim's answer to who takes a stream up.
const rest = "id: r1.x.2\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"

// Who waits for the rest of a call's answer is no listener: the server is woken to say what became of it, the stream ends with
// the answer, and one that is paid for by time has all of it.
func TestRestOfACall(t *testing.T) {
	shim := func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Last-Event-Id") != "r1.x.1" {
			t.Errorf("the shim is asked %s after %q", r.Method, r.Header.Get("Last-Event-Id"))
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(2 * pollQuiet)
		_, _ = io.WriteString(w, rest)
	}
	resume := []string{"Last-Event-ID", "r1.x.1", "MCP-Protocol-Version", "2025-11-25"}
	processes := newRig(t, shim)
	entry, _ := processes.gateway.current.Load().catalog.Server("github")
	entry.Listen = "off"
	clusters, f := newClusterRig(t, shim)
	f.services["mcp-github"] = &fakeService{start: running().start}
	for name, r := range map[string]*rig{"processes": processes, "a cluster": clusters} {
		if resp, body := r.do(t, r.request(t, "GET", "github", "", resume...)); resp.StatusCode != 200 || !strings.HasSuffix(body, rest) {
			t.Errorf("%s: %d %q", name, resp.StatusCode, body)
		}
	}
	if n := processes.deployer.ensured.Load(); n != 1 {
		t.Errorf("%d wakes", n)
	}
	if f.services["mcp-github"].woken != 1 {
		t.Errorf("in the cluster: %+v", f.services["mcp-github"])
	}
	if got := processes.meter(t, time.Minute, processes.request(t, "GET", "github", "", resume...)); got.StatusCode != 200 || !strings.HasSuffix(got.body, rest) {
		t.Errorf("as a function: %+v", got)
	}
	if resp, body := processes.do(t, processes.request(t, "GET", "github", "", "Last-Event-ID", "r1.x.1", "MCP-Protocol-Version", "2026-07-28")); resp.StatusCode != 405 {
		t.Errorf("modern: %d %s", resp.StatusCode, body)
	}
}
