package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

// docker runs Docker's command line.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := proxytest.Docker(context.Background(), nil, args...) // cleanups use it too
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// needEngine skips a test where no engine answers, or has it fail where TEST_DOCKER=required.
func needEngine(t *testing.T) {
	t.Helper()
	err := exec.Command("docker", "version").Run()
	switch {
	case err == nil:
	case os.Getenv("TEST_DOCKER") == "required":
		t.Fatalf("docker version: %v", err)
	default:
		t.Skipf("no engine answers, make e2e-docker brings one up: %v", err)
	}
}

// static builds programs that run in images without anything else.
func static(t *testing.T, sources ...string) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.Command("go", append([]string{"build", "-trimpath", "-o", dir + "/"}, sources...)...) // as make build does, whose work is not done again
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// Servers that are containers, one by an image and one from npm, baked here: a call wakes them, they stream, sleep, and wake
// without a download; and when the system ends nothing of it is left in the engine.
func TestContainers(t *testing.T) {
	needEngine(t)
	t.Cleanup(func() { // after the system's end
		if left := docker(t, "ps", "-aq") + docker(t, "volume", "ls", "-q") + docker(t, "network", "ls", "-q", "--filter", "type=custom"); left != "" {
			t.Errorf("left in the engine:\n%s\n%s", left, docker(t, "ps", "-a"))
		}
	})
	built := static(t, "mcpgateway/shim", "mcpgateway/localstack/sample", "mcpgateway/cmd/mcpgateway")
	if err := proxytest.ImportImage(t.Context(), "mcpgateway.local/sample:e2e", filepath.Join(built, "sample")); err != nil {
		t.Fatal(err)
	}
	s := startAs(t, layout{alone: true, shim: filepath.Join(built, "shim"), platform: "deployer: {docker: {}}\n",
		servers: `  - {id: sample, title: Sample, runtime: {container: {image: "mcpgateway.local/sample:e2e", port: 8090, args: [-addr, "127.0.0.1:8090"]}}, scale: {idle: 2s}}
  - {id: older, title: Of the legacy era only, runtime: {container: {image: "mcpgateway.local/sample:e2e", port: 8090, args: [-addr, "127.0.0.1:8090", -eras, legacy]}}, scale: {idle: 2s}}
  - {id: newer, title: Of the modern era only, runtime: {container: {image: "mcpgateway.local/sample:e2e", port: 8090, args: [-addr, "127.0.0.1:8090", -eras, modern]}}, scale: {idle: 2s}}
  - {id: everything, title: Everything, runtime: {npx: {package: "` + peers.EverythingServer + `", args: [stdio]}}, scale: {idle: 2s}}
`, policies: "  - {name: all, allow: {groups: [engineering]}, servers: [\"*\"], tools: [\"*\"]}\n"})
	token := s.token("alice", "everything", engineering)
	if resp, body := s.do(s.request("POST", "everything", token, initialize)); resp.StatusCode != 503 {
		t.Errorf("before it is baked: %d %s", resp.StatusCode, body)
	}
	t.Run("container", func(t *testing.T) { s.inTurns(t, "sample", "slow", `{"seconds":1}`, "slept") })
	t.Run("an answer that waits", func(t *testing.T) { s.waitsForItsClient(t, "sample", 2*time.Second) })
	t.Run("eras", func(t *testing.T) { s.inOtherEras(t, "older", "newer") })
	t.Run("npx", func(t *testing.T) {
		if os.Getenv("TEST_NETWORK") == "" {
			t.Skip("it installs a package of npm: TEST_NETWORK is not set")
		}
		base := filepath.Join(built, "node.tar")
		for _, step := range []*exec.Cmd{
			exec.Command("../../knative/testcluster/node-base.sh", base),
			exec.Command(filepath.Join(built, "mcpgateway"), "bake", "--platform", filepath.Join(s.dir, "platform.yaml"), "--node", base),
		} {
			if out, err := step.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", step.Args, err, out)
			}
		}
		s.inTurns(t, "everything", "trigger-long-running-operation", `{"duration":1,"steps":4}`, "completed")
	})
}

// waitsForItsClient loses a client in the middle of a call, and has it come back when the server had longer than it may idle: the
// container waits with the answer, which is delivered once, and sleeps then.
func (s *system) waitsForItsClient(t *testing.T, id string, idle time.Duration) {
	t.Helper()
	client := s.interrupted(id)
	last := client.lose(`"name":"slow","arguments":{"seconds":2}`, 2) // the first has no data
	before := docker(t, "ps", "-q", "--no-trunc")
	time.Sleep(2*time.Second + 3*idle)
	if now := docker(t, "ps", "-q", "--no-trunc"); now != before || now == "" {
		t.Errorf("of the containers %q there are %q", before, now)
	}
	if body := client.resume(last); strings.Count(body, `"id":"c"`) != 1 || !strings.Contains(body, "slept") || strings.Contains(body, `"error"`) {
		t.Errorf("it comes back to %s", body)
	}
	s.eventually("it sleeps", time.Minute, func() bool { return docker(t, "ps", "-aq") == "" })
}

// inOtherEras calls a server of the legacy era by a modern client, and one of the modern era by a legacy client.
func (s *system) inOtherEras(t *testing.T, older, newer string) {
	t.Helper()
	resp, body := s.call(older, s.token("alice", older, engineering), "echo", `{"message":"hello"}`)
	if resp.StatusCode != 200 || !strings.Contains(body, `"resultType":"complete"`) || !strings.Contains(body, `"text":"hello"`) {
		t.Errorf("a modern client: %d %s", resp.StatusCode, body)
	}
	token := s.token("alice", newer, engineering)
	session := s.session(newer, token)
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}`
	resp, body = s.do(s.request("POST", newer, token, call, "Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-11-25"))
	if resp.StatusCode != 200 || !strings.Contains(body, `"id":7`) || !strings.Contains(body, `"text":"hello"`) || strings.Contains(body, "resultType") {
		t.Errorf("a legacy client: %d %s", resp.StatusCode, body)
	}
	resp, body = s.do(s.request("POST", newer, token, "["+call+"]", "Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-03-26"))
	if resp.StatusCode != 200 || !strings.Contains(body, `"id":7`) || !strings.Contains(body, `"text":"hello"`) {
		t.Errorf("a batch: %d %s", resp.StatusCode, body)
	}
}

// inTurns calls a server awake and asleep, three times.
func (s *system) inTurns(t *testing.T, id, tool, arguments, says string) {
	t.Helper()
	token := s.token("alice", id, engineering)
	images := ""
	for turn := range 3 {
		began := time.Now()
		session := s.session(id, token)
		t.Logf("woken in %v", time.Since(began).Round(time.Millisecond))
		resp, body := s.do(s.request("POST", id, token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+
			`,"_meta":{"progressToken":"p"}}}`, "Mcp-Session-Id", session))
		if resp.StatusCode != 200 || !strings.Contains(body, "notifications/progress") || !strings.Contains(body, says) {
			t.Errorf("stream: %d %s", resp.StatusCode, body)
		}
		s.eventually("it sleeps", time.Minute, func() bool { return docker(t, "ps", "-aq") == "" })
		listed := strings.Fields(docker(t, "images", "-q", "--no-trunc"))
		slices.Sort(listed)
		now := strings.Join(listed, " ")
		if turn > 0 && now != images {
			t.Errorf("turn %d fetched an image: %s, before %s", turn, now, images)
		}
		images = now
	}
}

// Shims in containers reach a session store on the engine's machine: a session that its client ended is not found after two
// sleeps, and another goes on.
func TestContainersKeepEndedSessions(t *testing.T) {
	needEngine(t)
	built := static(t, "mcpgateway/shim", "mcpgateway/localstack/sample")
	if err := proxytest.ImportImage(t.Context(), "mcpgateway.local/sample:e2e", filepath.Join(built, "sample")); err != nil {
		t.Fatal(err)
	}
	at := privateAddress(t)
	s := startAs(t, layout{alone: true, shim: filepath.Join(built, "shim"), platform: "deployer: {docker: {}}\nsessions: {url: \"http://" + at + "/sessions\"}\n",
		servers:  "  - {id: sample, title: Sample, runtime: {container: {image: \"mcpgateway.local/sample:e2e\", port: 8090, args: [-addr, \"127.0.0.1:8090\"]}}, scale: {idle: 2s}}\n",
		policies: "  - {name: all, allow: {groups: [engineering]}, servers: [\"*\"], tools: [\"*\"]}\n"})
	s.startSessions("tcp", at)
	token := s.token("alice", "sample", engineering)
	ended, other := s.session("sample", token), s.session("sample", token)
	ask := func(method, body, id string) int {
		resp, _ := s.do(s.request(method, "sample", token, body, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25"))
		return resp.StatusCode
	}
	if status := ask("DELETE", "", ended); status >= 300 {
		t.Fatalf("DELETE: %d", status)
	}
	for n := range 3 {
		const call = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
		if gone, goes := ask("POST", call, ended), ask("POST", call, other); gone != 404 || goes != 200 {
			t.Errorf("life %d: %d, and of the other session %d", n+1, gone, goes)
		}
		s.eventually("it sleeps", time.Minute, func() bool { return docker(t, "ps", "-aq") == "" })
	}
}

// privateAddress is a free port at an address of this machine that containers reach.
func privateAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, is := a.(*net.IPNet); is && n.IP.IsPrivate() && n.IP.To4() != nil {
			l, err := net.Listen("tcp", net.JoinHostPort(n.IP.String(), "0"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Skip("this machine has no private address")
	return ""
}
