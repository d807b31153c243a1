package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Kubernetes' API server is down for half a minute: servers that run take calls as before, what is known of them holds, and
// what sleeps is neither woken by what must not wake it nor served. Then all is as before.
func TestAPIServerDown(t *testing.T) {
	s := start(t, documents{servers: sample("runs", ", startup: {timeout: 10s}") + sample("sleeps", ", startup: {timeout: 10s}"), policies: everybody})
	runs, sleeps := s.token("alice", "runs"), s.token("alice", "sleeps")
	if a := s.echo("sleeps", sleeps, "first"); !a.echoes("first") {
		t.Fatalf("the first call: %v", a)
	}
	s.eventually("the pods are gone", 2*time.Minute, func() bool { return len(s.pods("sleeps")) == 0 })
	if a := s.end("sleeps", sleeps); !strings.Contains(a.body, "is asleep") { // the gateway learns of it
		t.Errorf("the server that sleeps: %v", a)
	}
	if a := s.echo("runs", runs, "first"); !a.echoes("first") {
		t.Fatalf("the first call: %v", a)
	}
	if a := s.end("runs", runs); !strings.Contains(a.body, "was never yours") {
		t.Errorf("an end of a session does not reach the server that runs: %v", a)
	}

	restart := s.stopAPIServer()
	load := s.load("runs", runs)
	began := time.Now()
	var wake answer
	for time.Since(began) < 30*time.Second {
		if a := s.end("runs", runs); !strings.Contains(a.body, "was never yours") {
			t.Errorf("after %v the server that runs is not known to: %v", time.Since(began), a)
		}
		if a := s.end("sleeps", sleeps); !strings.Contains(a.body, "is asleep") {
			t.Errorf("after %v the server that sleeps is not known to: %v", time.Since(began), a)
		}
		if wake.status == 0 {
			wake = s.echo("sleeps", sleeps, "in vain")
		}
		time.Sleep(time.Second)
	}
	if wake.status != http.StatusServiceUnavailable && wake.status != http.StatusGatewayTimeout || wake.took > 20*time.Second {
		t.Errorf("a wake without an API server: %v", wake)
	}
	t.Logf("a wake meanwhile: %v", wake)
	load.end(t)

	restart()
	took := s.eventually("what sleeps is woken again", 2*time.Minute, func() bool { return s.echo("sleeps", sleeps, "again").echoes("again") })
	t.Logf("what sleeps is woken %v after the API server began to start", took.Round(100*time.Millisecond))
}

// end ends a session that is nobody's: a request that wakes nothing, and whose answer tells whether the shim gave it.
func (s *system) end(server, token string) answer {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodDelete, s.resource(server), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("MCP-Protocol-Version", "2025-11-25")
	r.Header.Set("Mcp-Session-Id", "nobody's")
	return ask(r)
}

// stopAPIServer kills the test cluster's API server, which the returned function starts again; so does the end of the test.
func (s *system) stopAPIServer() (restart func()) {
	t := s.t
	t.Helper()
	run := filepath.Dir(filepath.Dir(os.Getenv("TEST_KUBECONFIG"))) // testcluster/env.sh
	file := filepath.Join(run, "pids", "kube-apiserver")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("the API server of another cluster than testcluster's is not stopped: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	process := fmt.Sprintf("/proc/%d/", pid)
	program, err := os.Readlink(process + "exe")
	if err != nil || filepath.Base(program) != "kube-apiserver" {
		t.Fatalf("process %d is %q, %v", pid, program, err)
	}
	command, err := os.ReadFile(process + "cmdline")
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(string(bytes.TrimSuffix(command, []byte{0})), "\x00")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	running := false
	restart = func() {
		if running {
			return
		}
		running = true
		again := exec.Command(program, args[1:]...)
		again.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if log, err := os.OpenFile(filepath.Join(run, "log", "kube-apiserver.log"), os.O_APPEND|os.O_WRONLY, 0); err == nil {
			defer log.Close()
			again.Stdout, again.Stderr = log, log
		}
		if err := again.Start(); err != nil {
			t.Error(err)
			return
		}
		if err := os.WriteFile(file, fmt.Appendln(nil, again.Process.Pid), 0o600); err != nil { // for down.sh
			t.Error(err)
		}
		go again.Wait() //nolint:errcheck // it outlives this test
		s.eventually("the API server answers", time.Minute, func() bool {
			return s.kube.Discovery().RESTClient().Get().AbsPath("/readyz").Do(context.Background()).Error() == nil
		})
	}
	t.Cleanup(restart)
	return restart
}
