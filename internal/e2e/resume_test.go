package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// A client that lost its connection in the middle of a call gets the rest of the answer where it left, once the call is over,
// too; when nobody has it any more it is told so. A stdio server knows nothing of it.
func TestStreamIsTakenUp(t *testing.T) {
	t.Parallel()
	s := startAs(t, layout{servers: fmt.Sprintf("  - {id: stdio, runtime: {command: {exec: %q, args: [%s]}}, scale: {idle: %s}}\n", os.Args[0], stdioServer, idle),
		policies: "  - {name: stdio, allow: {groups: [engineering]}, servers: [stdio]}\n"})
	alice := s.token("alice", "stdio", engineering)
	session := s.session("stdio", alice)
	// lose makes a call that tells of its progress, and loses the connection after so many events.
	lose := func(events int) (last string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := s.request("POST", "stdio", alice, `{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"progress","arguments":{"count":10,"ms":100},"_meta":{"progressToken":1}}}`,
			"Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25")
		resp, err := http.DefaultClient.Do(r.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for in := mcp.NewEventReader(resp.Body, 1<<20); events > 0; {
			e, err := in.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e.ID != nil {
				last, events = string(e.ID), events-1
			}
		}
		return last
	}
	resume := func(last string) string {
		resp, body := s.do(s.request("GET", "stdio", alice, "", "Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25", "Last-Event-ID", last))
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return body
	}
	for name, pause := range map[string]time.Duration{"while it runs": 0, "when it is over": 1500 * time.Millisecond} {
		last := lose(4) // the first has no data
		time.Sleep(pause)
		body := resume(last)
		if strings.Count(body, `"notifications/progress"`) != 7 || strings.Count(body, `"id":"c"`) != 1 || !strings.Contains(body, `"result"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
	last := lose(2)
	for _, pid := range s.processes("shim") {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one may be gone with another
	}
	s.eventually("the groups are gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	if body := resume(last); !strings.Contains(body, `{"jsonrpc":"2.0","id":"c","error":{"code":-32000,"message":"The result is lost`) || strings.Contains(body, "progress") {
		t.Errorf("after the end: %s", body)
	}
	if body := resume(lose(2)); strings.Count(body, `"notifications/progress"`) != 9 {
		t.Errorf("in the session that goes on: %s", body)
	}
}
