package e2e

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const engineering = "engineering"

// A silent listener and a probe that never stops keep nothing awake; a long call does.
func TestSleepsAndWakes(t *testing.T) {
	t.Parallel()
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	session := s.session("sample", alice)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	listener, err := http.DefaultTransport.RoundTrip(s.request("GET", "sample", alice, "", "Mcp-Session-Id", session, "Content-Type", "").WithContext(ctx))
	if err != nil || listener.StatusCode != 200 {
		t.Fatalf("listen: %v, %v", listener, err)
	}
	defer listener.Body.Close()
	var ended atomic.Bool
	go func() {
		for lines := bufio.NewScanner(listener.Body); lines.Scan(); {
		}
		ended.Store(true)
	}()
	var polls atomic.Int32
	go func() {
		for ctx.Err() == nil {
			if resp, err := http.Get(s.url + "/healthz"); err == nil {
				_ = resp.Body.Close()
				polls.Add(1)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()

	began := time.Now()
	if resp, body := s.call("sample", alice, "slow", `{"seconds":4}`); resp.StatusCode != 200 || !strings.Contains(body, "slept") {
		t.Fatalf("the long call: %d %s", resp.StatusCode, body)
	}
	t.Logf("a call of %.1f s was not cut at an idle time of %v", time.Since(began).Seconds(), idle)
	took := s.eventually("the group is gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	t.Logf("asleep %.1f s after the last call, with a listener open and %d probes", took.Seconds(), polls.Load())
	if took < idle/2 {
		t.Errorf("it slept after %v already", took)
	}
	if ended.Load() {
		t.Error("the listener was dropped when the server fell asleep")
	}
	if len(s.status()) != 0 {
		t.Errorf("the deployer still lists %v", s.status())
	}

	asleep := time.Now()
	resp, body := s.call("sample", alice, "echo", `{"message":"awake"}`)
	if resp.StatusCode != 200 || !strings.Contains(body, "awake") {
		t.Fatalf("waking: %d %s", resp.StatusCode, body)
	}
	t.Logf("woken and answered in %v (%s)", time.Since(asleep), resp.Header.Get("Server-Timing"))
	if n := s.starts(); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

func TestNothingElseWakes(t *testing.T) {
	s := start(t)
	alice, stranger := s.token("alice", "sample", engineering), s.token("eve", "sample")
	modern := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled"}
	for name, r := range map[string]*http.Request{
		"unauthenticated":      s.callRequest("sample", "", "echo", `{}`),
		"bad token":            s.callRequest("sample", "x", "echo", `{}`),
		"not admitted":         s.callRequest("sample", stranger, "echo", `{}`),
		"unknown server":       s.callRequest("nothing", s.token("alice", "nothing", engineering), "echo", `{}`),
		"evil origin":          s.request("POST", "sample", alice, initialize, "Origin", "https://evil.test"),
		"broken":               s.request("POST", "sample", alice, `{"jsonrpc":`),
		"notification":         s.request("POST", "sample", alice, initiated),
		"cancel":               s.request("POST", "sample", alice, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`),
		"modern cancel":        s.request("POST", "sample", alice, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,`+modernMeta+`}}`, modern...),
		"ping":                 s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"ping"}`),
		"reply":                s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"result":{}}`),
		"DELETE":               s.request("DELETE", "sample", alice, "", "Mcp-Session-Id", "x"),
		"preflight":            s.request("OPTIONS", "sample", "", "", "Origin", s.url, "Access-Control-Request-Method", "POST"),
		"unauthenticated GET":  s.request("GET", "sample", "", ""),
		"modern GET":           s.request("GET", "sample", alice, "", "MCP-Protocol-Version", "2026-07-28"),
		"too large":            s.request("POST", "sample", alice, strings.Repeat(" ", 7<<20)),
		"compressed":           s.request("POST", "sample", alice, initialize, "Content-Encoding", "gzip"),
		"kube-probe":           s.request("GET", "sample", "", "", "User-Agent", "kube-probe/1.30", "K-Kubelet-Probe", "queue"),
		"refused for its size": s.request("PUT", "sample", alice, "x"),
	} {
		resp, body := s.do(r)
		t.Logf("%-22s %d %.60s", name, resp.StatusCode, body)
	}
	ctx, leave := context.WithTimeout(t.Context(), 2*time.Second)
	defer leave()
	resp, err := http.DefaultTransport.RoundTrip(s.request("GET", "sample", alice, "", "Mcp-Session-Id", "x").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := s.starts(); n != 0 || len(s.processes("")) != 0 {
		t.Errorf("%d starts", n)
	}
}

func TestRestarts(t *testing.T) {
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	session := s.session("sample", alice)
	instance := s.status()[0].ID
	ping := func(what string) {
		t.Helper()
		resp, body := s.do(s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Session-Id", session))
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", what, resp.StatusCode, body)
		}
		if list := s.status(); len(list) != 1 || list[0].ID != instance {
			t.Fatalf("%s: %v instead of %s", what, list, instance)
		}
	}
	ping("at first")
	s.kill(s.gateway)
	s.startGateway()
	ping("after the gateway's restart")
	s.kill(s.deployer)
	ping2, _ := s.do(s.request("POST", "sample", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Session-Id", session))
	if ping2.StatusCode != 200 {
		t.Errorf("while no deployer runs: %d", ping2.StatusCode)
	}
	s.startDeployer()
	ping("after the deployer's restart")
	s.kill(s.gateway)
	s.kill(s.deployer)
	s.startDeployer()
	s.startGateway()
	ping("after both")
}

// With everything that could stop it gone, a group still stops itself.
func TestOrphansSleep(t *testing.T) {
	s := start(t)
	if resp, body := s.call("sample", s.token("alice", "sample", engineering), "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	s.kill(s.gateway)
	s.kill(s.deployer)
	if len(s.processes("sample-server")) != 1 {
		t.Fatal("the group did not outlive the deployer")
	}
	s.eventually("the group is gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
	s.startDeployer()
	s.startGateway()
}

func TestCrashesAreRecovered(t *testing.T) {
	t.Parallel()
	s := start(t)
	alice := s.token("alice", "sample", engineering)
	for _, program := range []string{"sample-server", "shim", "deployer"} { // the last is the supervisor
		if resp, body := s.call("sample", alice, "echo", `{"message":"x"}`); resp.StatusCode != 200 {
			t.Fatalf("before %s dies: %d %s", program, resp.StatusCode, body)
		}
		pids := s.processes(program)
		if len(pids) != 1 {
			t.Fatalf("%s: %v", program, pids)
		}
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.eventually("the rest of the group is gone", 10*time.Second, func() bool { return len(s.processes("")) == 0 })
		// Once is bad luck, and costs nobody a wait.
		s.eventually("it runs again", 10*time.Second, func() bool {
			resp, _ := s.call("sample", alice, "echo", `{"message":"x"}`)
			return resp.StatusCode == 200
		})
	}
}
