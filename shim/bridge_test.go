package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// This test program is also the shim, and the server behind its bridge.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("SHIM_TEST_AS_SHIM") != "":
		main()
	case os.Getenv("TEST_AS_SERVER") != "":
		serveStdio()
	default:
		os.Exit(m.Run())
	}
}

// serveStdio answers every request with its process's number and environment.
func serveStdio() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var r struct{ ID json.RawMessage }
		if json.Unmarshal(in.Bytes(), &r) == nil && r.ID != nil {
			environment, _ := json.Marshal(os.Environ())
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"result":{"pid":%d,"environment":%s}}`+"\n", r.ID, os.Getpid(), environment)
		}
	}
	time.Sleep(time.Hour) // the end of its input does not end it: a signal must
}

func TestReadBridgeConfig(t *testing.T) {
	for _, c := range []struct {
		name     string
		env      map[string]string
		want     bridgeConfig
		problems []string
	}{
		{"standard", map[string]string{"SHIM_LISTEN": "unix:/x"}, bridgeConfig{Listen: "unix:/x", Max: 8}, nil},
		{"session", map[string]string{"SHIM_LISTEN": "a:1", "SHIM_CHILD": "session", "SHIM_CHILD_MAX": "1"}, bridgeConfig{Listen: "a:1", Max: 1}, nil},
		{"shared", map[string]string{"SHIM_LISTEN": "a:1", "SHIM_CHILD": "shared", "SHIM_CHILD_MAX": "10000"}, bridgeConfig{Listen: "a:1", Shared: true, Max: 10000}, nil},
		{"nothing", nil, bridgeConfig{}, []string{"SHIM_LISTEN"}},
		{"all wrong", map[string]string{"SHIM_CHILD": "Shared", "SHIM_CHILD_MAX": "many"}, bridgeConfig{}, []string{"SHIM_LISTEN", "SHIM_CHILD:", "SHIM_CHILD_MAX"}},
		{"no child", map[string]string{"SHIM_LISTEN": "a:1", "SHIM_CHILD_MAX": "0"}, bridgeConfig{}, []string{"SHIM_CHILD_MAX"}},
		{"fewer than none", map[string]string{"SHIM_LISTEN": "a:1", "SHIM_CHILD_MAX": "-1"}, bridgeConfig{}, []string{"SHIM_CHILD_MAX"}},
		{"too many", map[string]string{"SHIM_LISTEN": "a:1", "SHIM_CHILD_MAX": "10001"}, bridgeConfig{}, []string{"SHIM_CHILD_MAX"}},
	} {
		got, err := readBridgeConfig(func(name string) string { return c.env[name] })
		if c.problems == nil {
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
			}
			continue
		}
		if err == nil || strings.Count(err.Error(), "\n") != len(c.problems)-1 {
			t.Errorf("%s: %v, want %d problems", c.name, err, len(c.problems))
			continue
		}
		for _, p := range c.problems {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("%s: %v, want %s", c.name, err, p)
			}
		}
	}
}

// bridgeProcess is "shim bridge" as a process of its own.
type bridgeProcess struct {
	*exec.Cmd
	socket string
	log    *bytes.Buffer
	client *http.Client
}

func startBridge(t *testing.T, command ...string) *bridgeProcess {
	t.Helper()
	dir, err := os.MkdirTemp("", "bridge") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return startBridgeAt(t, filepath.Join(dir, "bridge.sock"), command...)
}

func startBridgeAt(t *testing.T, socket string, command ...string) *bridgeProcess {
	t.Helper()
	p := &bridgeProcess{Cmd: exec.Command(os.Args[0], append([]string{"bridge", "--"}, command...)...), socket: socket, log: &bytes.Buffer{}}
	p.Env = []string{"SHIM_TEST_AS_SHIM=1", "TEST_AS_SERVER=1", "SHIM_LISTEN=unix:" + p.socket, "OF_THE_SERVER=yes", "PATH=" + os.Getenv("PATH")}
	p.Stderr = p.log
	p.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.socket)
	}}}
	t.Cleanup(p.client.CloseIdleConnections)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() }) // it has ended by then, unless the test failed
	return p
}

// end waits for the process, and kills it where it does not end by itself.
func (p *bridgeProcess) end() error {
	timer := time.AfterFunc(20*time.Second, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	return p.Wait()
}

// initialize begins a session, and returns what the server says of itself.
func (p *bridgeProcess) initialize(t *testing.T) (pid int, environment string) {
	t.Helper()
	soon(t, "it serves", func() bool {
		conn, err := net.Dial("unix", p.socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://bridge/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var answer struct {
		Result struct {
			Pid         int
			Environment []string
		}
	}
	if err != nil || json.Unmarshal(body, &answer) != nil || answer.Result.Pid == 0 {
		t.Fatalf("initialize: %s, %v", body, err)
	}
	return answer.Result.Pid, strings.Join(answer.Result.Environment, "\n")
}

func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// running does not count those that only wait for whoever reaps orphans here.
func running(pid int) bool {
	if runtime.GOOS != "linux" {
		return syscall.Kill(pid, 0) == nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestBridgeWithoutProgram(t *testing.T) {
	p := startBridge(t, "no-such-program")
	if err := p.end(); p.ProcessState.ExitCode() != 1 || !strings.Contains(p.log.String(), "no-such-program") {
		t.Errorf("ended with %v: %s", err, p.log)
	}
	if _, err := os.Stat(p.socket); err == nil {
		t.Error("it had begun to serve")
	}
}

func TestBridgeServesAndEnds(t *testing.T) {
	p := startBridge(t, os.Args[0])
	pid, environment := p.initialize(t)
	if info, err := os.Stat(p.socket); err != nil {
		t.Error(err)
	} else if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is open to others: %v", info.Mode())
	}
	if strings.Contains(environment, "SHIM_") || !strings.Contains(environment, "OF_THE_SERVER=yes") {
		t.Errorf("the server has %s", environment)
	}
	if !running(pid) {
		t.Fatal("the server does not run")
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil || !strings.Contains(p.log.String(), "server ended") {
		t.Errorf("ended with %v: %s", err, p.log)
	}
	if running(pid) {
		t.Error("the server outlived the bridge")
	}
	if _, err := os.Stat(p.socket); err == nil {
		t.Error("the socket is still there")
	}
}

// orphan leaves a process behind in a session of its own, for $1 seconds: the last of three. Its number is written to $2.
const orphan = `setsid sh -c 'sh -c "sh -c \"sleep $0 & echo \\\$! >$1.new; mv $1.new $1; wait\" & wait" >/dev/null 2>&1 &' "$1" "$2"`

// startOrphan is a server that first leaves an orphan behind.
func startOrphan(t *testing.T, seconds, file string) *bridgeProcess {
	t.Helper()
	if _, err := exec.LookPath("setsid"); err != nil || runtime.GOOS != "linux" {
		t.Skip("only Linux gives orphans to us, and setsid makes one")
	}
	return startBridge(t, "sh", "-c", orphan+`; exec "$0"`, os.Args[0], seconds, file)
}

func orphanIn(t *testing.T, file string) int {
	t.Helper()
	pid := 0
	soon(t, "it is there", func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid != 0
	})
	return pid
}

// Orphans are ended when no child is left whose they can be, and by the end of the bridge at last.
func TestBridgeEndsOrphans(t *testing.T) {
	for _, how := range []string{"session", "bridge"} {
		file := filepath.Join(t.TempDir(), "pid")
		p := startOrphan(t, "300", file)
		server, _ := p.initialize(t)
		pid := orphanIn(t, file)
		if !running(pid) {
			t.Fatal("it does not live as long as its server")
		}
		if how == "session" {
			if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			soon(t, "it ends after its server", func() bool { return !running(pid) })
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.end(); err != nil || running(pid) {
			t.Errorf("%s: the bridge ended with %v, who was left behind runs: %v", how, err, running(pid))
		}
	}
}

// An orphan that ended is waited for, while children go on.
func TestBridgeWaitsForOrphans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	p := startOrphan(t, "0.2", file)
	server, _ := p.initialize(t)
	pid := orphanIn(t, file)
	soon(t, "nothing is left of it", func() bool { return syscall.Kill(pid, 0) != nil })
	if !running(server) {
		t.Error("the server was ended")
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// Nothing can be done by a bridge that is killed: the kernel ends its children.
func TestBridgeKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends children with their parent")
	}
	p := startBridge(t, os.Args[0])
	pid, _ := p.initialize(t)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.end() // it was killed
	soon(t, "the server is gone", func() bool { return !running(pid) })
}

// The socket of a bridge that was killed is its successor's, that of one that serves is nobody else's.
func TestBridgeTakesOver(t *testing.T) {
	killed := startBridge(t, os.Args[0])
	killed.initialize(t)
	second := startBridgeAt(t, killed.socket, os.Args[0])
	if err := second.end(); second.ProcessState.ExitCode() != 1 || !strings.Contains(second.log.String(), "another program serves") {
		t.Errorf("a second bridge ended with %v: %s", err, second.log)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.end() // it was killed
	if _, err := os.Lstat(killed.socket); err != nil {
		t.Fatal("no socket is left to take over: ", err)
	}
	next := startBridgeAt(t, killed.socket, os.Args[0])
	next.initialize(t)
	if err := next.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := next.end(); err != nil {
		t.Errorf("ended with %v: %s", err, next.log)
	}
}
