package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/proxytest"
	"mcpgateway/knative/e2e/loot"
)

// The images of a spy, and of a server like any other.
const (
	spyImage    = "mcpgateway.local/spy:e2e"
	victimImage = "mcpgateway.local/victim:e2e"
)

// A server in a container that does what it can to get at its shim, at a filter, at another server, at the engine and at the
// machine gets nothing: neither while they run, nor when its shim has crashed, and it would sit at the shim's port.
func TestHostileContainerGainsNothing(t *testing.T) {
	needEngine(t)
	built := static(t, "mcpgateway/shim", "mcpgateway/localstack/sample", "mcpgateway/knative/e2e/spy")
	for image, program := range map[string]string{spyImage: "spy", victimImage: "sample"} {
		if err := proxytest.ImportImage(t.Context(), image, filepath.Join(built, program)); err != nil {
			t.Fatal(err)
		}
	}
	doors := neighbours()
	s := startAs(t, layout{alone: true, shim: filepath.Join(built, "shim"), platform: "deployer: {docker: {}}\n",
		servers: fmt.Sprintf(`  - {id: spied, filters: [notary], runtime: {container: {image: %q, port: 8090, args: [-serve, "127.0.0.1:8090", -server, spied, -take, ":8080", -ask, %q]}}, scale: {idle: 5m}}
  - {id: victim, env: [{name: API_KEY, secret: {key: api}}], runtime: {container: {image: %q, port: 8090, args: [-addr, ":8090"]}}, scale: {idle: 5m}}
`, spyImage, strings.Join(doors, ","), victimImage),
		policies: `  - {name: all, allow: {groups: [engineering]}, servers: ["*"], tools: ["*"]}
filters:
  - {name: notary, webhook: {url: "https://hooks.example.com/hook", secret: {key: hook}, egress: [{cidr: 192.0.2.0/24, ports: [443]}]}, on: ["prompts/get"]}
`,
		secrets: map[string]string{"spied-shim/hook": hookSecret, "victim-server/api": "api-key-of-the-victim"},
	})
	victim, token := s.token("alice", "victim", engineering), s.token("alice", "spied", engineering)
	if resp, body := s.call("victim", victim, "echo", `{"message":"hello"}`); resp.StatusCode != 200 {
		t.Fatalf("the victim: %d %s", resp.StatusCode, body)
	}
	address := addressOf(t, "victim", "shim")
	for _, port := range []string{"8080", "8090"} {
		if door := "http://" + net.JoinHostPort(address, port) + "/"; !slices.Contains(doors, door) {
			t.Errorf("the spy does not ask the victim at %s", door)
		}
	}
	if resp, body := s.call("spied", token, "x", `{}`); resp.StatusCode != 200 || !strings.Contains(body, "served") {
		t.Fatalf("the spy: %d %s", resp.StatusCode, body)
	}
	took := s.listen("spied")
	s.eventually("it has tried everything", 2*time.Minute, func() bool { return took.has(loot.Round, "") })
	checkAttempts(t, took.attempts(t), address)
	if conn, err := net.DialTimeout("tcp", net.JoinHostPort(address, "8080"), time.Second); err != nil {
		t.Errorf("nobody is at the victim's, so that nothing is shown: %v", err)
	} else {
		_ = conn.Close()
	}

	docker(t, "kill", "--signal", "KILL", containerOf(t, "spied", "shim"))
	for range 20 {
		resp, body := s.call("spied", token, "x", `{}`)
		if strings.Contains(body, loot.Impostor) || resp.StatusCode == http.StatusOK && !strings.Contains(body, "served") {
			t.Errorf("after the crash: %d %s", resp.StatusCode, body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.checkTaken(took.attempts(t), map[string]string{"the victim's key": "api-key-of-the-victim", "the key of webhooks": strings.TrimPrefix(hookSecret, "whsec_"),
		"the token": token, "its signature": token[strings.LastIndex(token, ".")+1:], "the victim's token": victim})
}

// neighbours are where containers of others can be, by the engine's own ranges of addresses, and the machine's ends of them.
func neighbours() (urls []string) {
	var networks []string
	for n := 17; n < 32; n++ {
		networks = append(networks, fmt.Sprintf("172.%d.0.", n))
	}
	for n := 0; n < 256; n += 16 {
		networks = append(networks, fmt.Sprintf("192.168.%d.", n))
	}
	for _, network := range networks {
		for host := 1; host < 5; host++ {
			for _, port := range []string{"8080", "8090", "2375"} {
				urls = append(urls, fmt.Sprintf("http://%s%d:%s/", network, host, port))
			}
		}
	}
	return urls
}

func containerOf(t *testing.T, server, unit string) string {
	t.Helper()
	return docker(t, "ps", "-q", "--filter", "label=mcpgateway.server="+server, "--filter", "label=mcpgateway.unit="+unit)
}

func addressOf(t *testing.T, server, unit string) string {
	t.Helper()
	return docker(t, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", containerOf(t, server, unit))
}

// spoils are what a spy writes down, while its container is there and after.
type spoils struct{ path string }

// listen has all that a server's container prints be kept.
func (s *system) listen(server string) spoils {
	s.t.Helper()
	to := spoils{filepath.Join(s.t.TempDir(), "loot")}
	file, err := os.Create(to.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close() // the program holds its own
	logs := exec.CommandContext(s.t.Context(), "docker", "logs", "--follow", containerOf(s.t, server, "server"))
	logs.Stdout = file
	if err := logs.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = logs.Wait() }) // it ended with its container, or the test
	return to
}

func (l spoils) attempts(t *testing.T) (all []loot.Attempt) {
	t.Helper()
	text, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var a loot.Attempt
		if json.Unmarshal(line, &a) == nil { // the last may be half there
			all = append(all, a)
		}
	}
	return all
}

// has says whether something was tried.
func (l spoils) has(what, target string) bool {
	text, _ := os.ReadFile(l.path)
	return bytes.Contains(text, fmt.Appendf(nil, `"What":%q,"Target":%q`, what, target))
}

// checkAttempts looks at whether a spy tried everything, and came through nowhere, least of all to the victim's address.
func checkAttempts(t *testing.T, attempts []loot.Attempt, victim string) {
	t.Helper()
	tried, open := map[string]int{}, map[string]bool{"http://127.0.0.1:8080/": true}
	for _, a := range attempts {
		tried[a.What]++
		through := a.Denied == ""
		switch a.What {
		case loot.Write, loot.Power, loot.Socket, loot.Bind:
		case loot.Process: // the engine's own init is in front of it, with its own environment
			through = through && !strings.HasPrefix(a.Target, "/proc/1/")
		case loot.File:
			through = through && (strings.Contains(a.Target, "secret") || strings.HasPrefix(a.Target, "/run/") || strings.HasPrefix(a.Target, "/etc/mounts"))
		case loot.Reach:
			delete(open, a.Target)
			// Whatever answers on behalf of the world outside, as a proxy may, has nothing for it.
			through = through && !strings.HasPrefix(a.Target, "http://127.0.0.1") &&
				(bytes.HasPrefix(a.Got, []byte("HTTP/1.1 200")) || strings.HasPrefix(a.Target, "http://"+victim+":"))
		default:
			continue
		}
		if through {
			t.Errorf("the spy came through: %s %s: %.300q", a.What, a.Target, a.Got)
		}
	}
	for _, kind := range []string{loot.File, loot.Table, loot.Write, loot.Power, loot.Reach, loot.Bind, loot.Environ, loot.Serve, loot.Process} {
		if tried[kind] == 0 {
			t.Errorf("the spy did not try: %s", kind)
		}
	}
	if len(open) > 0 || tried[loot.Reach] < 100 {
		t.Errorf("the spy asked at %d doors and not at %v", tried[loot.Reach], open)
	}
	t.Logf("the spy tried %v", tried)
}

// checkTaken looks for secrets in what a spy got.
func (s *system) checkTaken(attempts []loot.Attempt, secrets map[string]string) {
	s.t.Helper()
	for _, path := range []string{".run/rules.key", "secrets/spied-shim/seal"} {
		text, err := os.ReadFile(filepath.Join(s.dir, path))
		if err != nil || len(text) == 0 {
			s.t.Errorf("%d bytes, %v: nothing to look for", len(text), err)
		}
		secrets[path] = string(text)
	}
	for _, a := range attempts {
		if a.What == loot.Stolen {
			s.t.Errorf("the spy got a call that was the shim's: %.300q", a.Got)
		}
		for name, secret := range secrets {
			if bytes.Contains(a.Got, []byte(secret)) || bytes.Contains(a.Got, []byte(base64.StdEncoding.EncodeToString([]byte(secret)))) {
				s.t.Errorf("the spy got %s by %s %s", name, a.What, a.Target)
			}
		}
	}
}
