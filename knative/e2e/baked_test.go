package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

// A package of npm is baked into an image, which runs without a registry; before that, the server is refused.
func TestBakedPackage(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("packages of npm are not baked without %s", program)
		}
	}
	s := start(t, documents{policies: everybody, servers: "  - {id: everything, title: Everything, runtime: {npx: {package: \"" + peers.EverythingServer + "\", args: [stdio]}}, scale: {idle: " + window.String() + "}}\n"})
	token := s.token("alice", "everything")
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`
	if a := ask(s.legacy("everything", token, "", initialize)); a.status != http.StatusServiceUnavailable {
		t.Errorf("before it is baked: %v", a)
	}
	base := filepath.Join(s.dir, "node.tar")
	for _, step := range []*exec.Cmd{
		exec.Command("../testcluster/node-base.sh", base),
		exec.Command(filepath.Join(programs, "mcpgateway"), "bake", "--platform", filepath.Join(s.dir, "platform.yaml"), "--prefix", "dev.local",
			"--archives", s.dir, "--node", base, "--shim", filepath.Join(programs, "shim")),
		exec.Command("../testcluster/image.sh", filepath.Join(s.dir, "mcp-everything.tar")),
	} {
		if err := run(step); err != nil {
			t.Fatal(err)
		}
	}
	var begun answer
	took := s.eventually("the baked server answers", time.Minute, func() bool {
		begun = ask(s.legacy("everything", token, "", initialize))
		return begun.status == http.StatusOK
	})
	t.Logf("the baked server answers after %v: %v", took.Round(100*time.Millisecond), begun)
	session := begun.header.Get("Mcp-Session-Id")
	ask(s.legacy("everything", token, session, `{"jsonrpc":"2.0","method":"notifications/initialized"}`))
	if list := ask(s.legacy("everything", token, session, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)); !strings.Contains(list.body, `"name":"echo"`) {
		t.Errorf("tools/list: %v", list)
	}
	call := ask(s.legacy("everything", token, session, `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"message":"baked"}}}`))
	if !strings.Contains(call.body, "Echo: baked") {
		t.Errorf("tools/call: %v", call)
	}
	s.clientsCallAgain("everything")
}

// clientsCallAgain has other people's clients call a server over the connection that they had before it slept. None of them is
// told that its session is over, which some would hide.
func (s *system) clientsCallAgain(id string) {
	s.t.Helper()
	there, err := json.Marshal(proxytest.There{URL: s.url, Platform: filepath.Join(s.dir, "platform.yaml"), Tokens: map[string]string{id: s.token("alice", id)}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("there.json", string(there))
	clients := exec.Command("go", "run", "mcpgateway/internal/clients", "-bin", programs, "-cache", "../../.cache", "-at", filepath.Join(s.dir, "there.json"),
		"-only", "mcpdo, legacy|sdk|client, auto")
	clients.Env = append(os.Environ(), "KUBECONFIG="+os.Getenv("TEST_KUBECONFIG"))
	out, err := clients.CombinedOutput()
	s.t.Logf("%s", out)
	if err != nil {
		s.t.Error(err)
	}
	if log, err := os.ReadFile(filepath.Join(s.dir, "gateway.log")); err != nil || strings.Contains(string(log), `"responseStatus":404`) {
		s.t.Errorf("a session was over, or the log cannot be read: %v", err)
	}
}

// legacy is a message of the legacy era.
func (s *system) legacy(server, token, session, body string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.resource(server), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Authorization": "Bearer " + token, "MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": session} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}
