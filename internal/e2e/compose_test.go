package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/proxytest"
	"mcpgateway/localstack/issuer"
)

// compose is the system as localstack/compose.yaml has it run, in a folder of its own.
type compose struct {
	t       *testing.T
	dir     string
	program []string
	port    int
}

// newCompose copies what the file is in a repository with built programs.
func newCompose(t *testing.T) *compose {
	t.Helper()
	needEngine(t)
	c := &compose{t: t, program: []string{"docker", "compose"}}
	if exec.Command("docker", "compose", "version").Run() != nil { // Debian has it as a program of its own
		c.program = []string{"docker-compose"}
	}
	_, err := exec.LookPath(c.program[0])
	switch {
	case err == nil:
	case os.Getenv("TEST_DOCKER") == "required":
		t.Fatal(err)
	default:
		t.Skipf("there is no Compose: %v", err)
	}
	if c.dir, err = os.MkdirTemp("", "compose"); err != nil { // short: sockets are in it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.dir) })
	bin := filepath.Join(c.dir, "bin")
	if err := os.Rename(static(t, "mcpgateway/cmd/mcpgateway", "mcpgateway/functions/gateway", "mcpgateway/functions/deployer", "mcpgateway/functions/oauth", "mcpgateway/functions/audit", "mcpgateway/functions/sessions",
		"mcpgateway/shim", "mcpgateway/localstack/sample"), bin); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(bin, "sample"), filepath.Join(bin, "sample-server")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "localstack"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localstack/compose.yaml", "localstack/Dockerfile"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c.port, err = proxytest.FreePorts(4); err != nil {
		t.Fatal(err)
	}
	return c
}

// do runs Compose in the folder, as a person does.
func (c *compose) do(args ...string) error {
	command := exec.Command(c.program[0], append(append(c.program[1:], "-f", "localstack/compose.yaml", "--profile", "docker"), args...)...)
	command.Dir = c.dir
	command.Env = append(os.Environ(), "PWD="+c.dir, "MCPGATEWAY_PORT="+strconv.Itoa(c.port),
		"MCPGATEWAY_ENGINE="+strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://"))
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", command.Args, err, out)
	}
	return nil
}

// The gateway in a container starts servers in containers beside it, and takes them along when it ends.
func TestCompose(t *testing.T) {
	c := newCompose(t)
	t.Cleanup(func() {
		if t.Failed() {
			out, err := exec.Command("docker", "logs", "localstack_mcpgateway_1").CombinedOutput()
			t.Logf("%s (%v)", out, err)
		}
		if err := c.do("down"); err != nil {
			t.Error(err)
		}
		if left := docker(t, "ps", "-aq") + docker(t, "volume", "ls", "-q") + docker(t, "network", "ls", "-q", "--filter", "type=custom"); left != "" {
			t.Errorf("left in the engine:\n%s\n%s", left, docker(t, "ps", "-a"))
		}
	})
	if err := c.do("up", "--detach", "--build"); err != nil {
		t.Fatal(err)
	}
	gateway := "http://127.0.0.1:" + strconv.Itoa(c.port)
	for deadline := time.Now().Add(time.Minute); !c.ready(gateway); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the system is not ready")
		}
	}
	server := gateway + "/mcp-connect/playground"
	answer := c.ask("POST", fmt.Sprintf("http://127.0.0.1:%d/insecure-token", c.port+2), url.Values{
		"grant_type": {issuer.GrantType}, "user": {"alice"}, "resource": {server}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/plain")
	answer = c.ask("POST", server, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"from a container"},`+modernMeta+`}}`,
		"Authorization", "Bearer "+strings.TrimSpace(answer), "Content-Type", "application/json", "Accept", "application/json, text/event-stream",
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "echo")
	if !strings.Contains(answer, "from a container") {
		t.Errorf("the server answers %s", answer)
	}
	// Its shim, in a container without a way to this machine's loopback, has brought the record to a socket.
	dana := strings.TrimSpace(c.ask("POST", fmt.Sprintf("http://127.0.0.1:%d/insecure-token", c.port+2), url.Values{
		"grant_type": {issuer.GrantType}, "user": {"dana"}, "resource": {gateway}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/plain"))
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		found := c.ask("GET", fmt.Sprintf("http://127.0.0.1:%d/audit?server=playground&user=alice&tool=echo", c.port+3), "", "Authorization", "Bearer "+dana)
		if strings.Contains(found, `"outcome":"forwarded"`) {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("records: %s", found)
		}
	}
	if containers := strings.Fields(docker(t, "ps", "-q", "--filter", "label=mcpgateway.server=playground")); len(containers) != 2 {
		t.Errorf("the server has containers %v", containers)
	}
}

// ready says whether gateway and deployer are up.
func (c *compose) ready(gateway string) bool {
	if _, err := os.Stat(filepath.Join(c.dir, ".run", "compose", "deployer.sock")); err != nil {
		return false
	}
	resp, err := http.Get(gateway + "/readyz")
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// ask sends a request that must be answered with 200; header is name, value, name, value.
func (c *compose) ask(method, url, body string, header ...string) string {
	c.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s %s (%v)", url, resp.Status, answer, err)
	}
	return string(answer)
}
