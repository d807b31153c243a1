package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stdioServer is the argument with which the test program is a legacy MCP server on stdio. The bridge keeps its sessions.
const stdioServer = "-stdio-server"

// A legacy client notices neither its server's sleep nor its end in the middle of a call, which is not sent again. With
// sessions: strict it is told honestly.
func TestSessionOutlivesSleepAndCrash(t *testing.T) {
	t.Parallel()
	entry := func(id, more string) string {
		return fmt.Sprintf("  - {id: %s, runtime: {command: {exec: %q, args: [%s]}}, scale: {idle: %s}%s}\n", id, os.Args[0], stdioServer, idle, more)
	}
	s := startAs(t, layout{servers: entry("stdio", "") + entry("strict", ", sessions: strict"),
		policies: "  - {name: stdio, allow: {groups: [engineering]}, servers: [stdio, strict]}\n"})
	call := func(server, session, tool string) (*http.Response, string) {
		return s.do(s.request("POST", server, s.token("alice", server, engineering), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{}}}`,
			"Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25"))
	}
	asleep := func() {
		s.eventually("the groups are gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	}
	session, strict := s.session("stdio", s.token("alice", "stdio", engineering)), s.session("strict", s.token("alice", "strict", engineering))
	_, first := call("stdio", session, "pid")
	asleep()
	resp, second := call("stdio", session, "pid")
	if resp.StatusCode != 200 || second == first {
		t.Errorf("after a sleep: %d %s, and %s before", resp.StatusCode, second, first)
	}
	if resp, body := call("strict", strict, "pid"); resp.StatusCode != 404 || !strings.Contains(body, "initialize again") {
		t.Errorf("strict, after a sleep: %d %s", resp.StatusCode, body)
	}
	over := make(chan int, 1)
	go func() {
		resp, _ := call("stdio", session, "hang")
		over <- resp.StatusCode
	}()
	time.Sleep(idle / 2) // nothing shows that the server has it
	for _, pid := range s.processes("shim") {
		_ = syscall.Kill(pid, syscall.SIGKILL) // one may be gone with another
	}
	if status := <-over; status != 502 {
		t.Errorf("in mid-call: %d", status)
	}
	asleep()
	if resp, body := call("stdio", session, "pid"); resp.StatusCode != 200 || body == second {
		t.Errorf("after the crash: %d %s", resp.StatusCode, body)
	}
}
