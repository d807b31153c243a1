package e2e

import (
	"bufio"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/mcptest"
	"mcpgateway/internal/proxytest"
)

// elsewhere starts a sample server that no deployer knows, and returns its port.
func elsewhere(t *testing.T) string {
	t.Helper()
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "elsewhere") // by a path of its own: it is none of the system's processes
	if err := os.Link(filepath.Join(programs, "sample-server"), program); err != nil {
		t.Fatal(err)
	}
	p, err := proxytest.StartProcess(proxytest.Command{Path: program, Args: []string{"-addr", address}, Log: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Await(t.Context(), "tcp", address); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// encrypted is a server with TLS whose certificate the system under test takes for good, since its authority stands in
// SSL_CERT_FILE. It counts its connections.
func encrypted(t *testing.T) (port string, conns *atomic.Int32) {
	t.Helper()
	conns = &atomic.Int32{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/mcp/" && mcptest.Discovered(w, body):
		case strings.Contains(string(body), `"inside"`):
			http.Redirect(w, r, "https://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		case r.URL.Path == "/mcp":
			http.Redirect(w, r, "/mcp/", http.StatusPermanentRedirect)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"%s, token [%s], cookie [%s]"}]}}`,
				r.Proto, r.Header.Get("Authorization"), r.Header.Get("Cookie"))
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "authorities.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, conns
}

func TestRemoteServers(t *testing.T) {
	tlsPort, conns := encrypted(t)
	plainPort := elsewhere(t)
	s := startWith(t, fmt.Sprintf(`  - {id: far, runtime: {remote: {url: "http://127.0.0.1:%[1]s/mcp"}}, egress: [{cidr: 127.0.0.1/32, ports: [%[1]s]}], scale: {idle: %[3]s}}
  - {id: safe, runtime: {remote: {url: "https://127.0.0.1:%[2]s/mcp"}}, egress: [{cidr: 127.0.0.1/32, ports: [%[2]s]}], scale: {idle: %[3]s}}
  - {id: unnamed, runtime: {remote: {url: "https://localhost:%[2]s/mcp"}}, scale: {idle: %[3]s}}
`, plainPort, tlsPort, idle), "  - {name: remotes, allow: {groups: [engineering]}, servers: [far, safe, unnamed]}\n")

	t.Run("plain, named", func(t *testing.T) { testFar(t, s) })
	t.Run("encrypted, named", func(t *testing.T) {
		alice := s.token("alice", "safe", engineering)
		r := s.callRequest("safe", alice, "echo", `{}`)
		r.Header.Set("Cookie", "a=b")
		resp, body := s.do(r)
		if resp.StatusCode != 200 || !strings.Contains(body, "HTTP/1.1, token [], cookie []") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		resp, body = s.call("safe", alice, "inside", `{}`)
		if resp.StatusCode != 502 || resp.Header.Get("Location") != "" || strings.Contains(body, "169.254") {
			t.Errorf("a redirect inside: %d %s %v", resp.StatusCode, body, resp.Header)
		}
	})
	t.Run("not named", func(t *testing.T) {
		before := conns.Load()
		resp, body := s.call("unnamed", s.token("alice", "unnamed", engineering), "echo", `{}`)
		if resp.StatusCode != 502 || !strings.Contains(body, "The MCP server cannot be reached") || strings.Contains(body, "loopback") || strings.Contains(body, tlsPort) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if n := conns.Load() - before; n != 0 {
			t.Errorf("%d connections to it", n)
		}
		logged := func() bool {
			b, _ := os.ReadFile(filepath.Join(s.dir, ".run", "logs", "unnamed", "shim.log"))
			return strings.Contains(string(b), "127.0.0.1:"+tlsPort+" is a loopback address: it is reached only if egress names it")
		}
		s.eventually("the log says what was refused and what opens it", 5*time.Second, logged)
	})
}

func testFar(t *testing.T, s *system) {
	alice := s.token("alice", "far", engineering)
	session := s.session("far", alice)
	if n := s.processes("shim"); len(n) != 1 {
		t.Errorf("shims %v for one server", n)
	}
	if _, body := s.do(s.request("POST", "far", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Session-Id", session)); !strings.Contains(body, `"name":"echo"`) || strings.Contains(body, `"name":"notify"`) {
		t.Errorf("the list: %s", body)
	}
	resp, body := s.call("far", alice, "headers", `{}`)
	if resp.StatusCode != 200 || strings.Contains(body, "Authorization") || strings.Contains(body, alice) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := s.call("far", alice, "notify", `{"message":"x"}`); resp.StatusCode != 200 || !strings.Contains(body, "-32001") {
		t.Errorf("a denied tool: %d %s", resp.StatusCode, body)
	}

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	legacy, err := http.DefaultTransport.RoundTrip(s.request("GET", "far", alice, "", "Mcp-Session-Id", session, "Content-Type", "").WithContext(ctx))
	if err != nil || legacy.StatusCode != 200 {
		t.Fatalf("listen: %v, %v", legacy, err)
	}
	defer legacy.Body.Close()
	modern, err := http.DefaultTransport.RoundTrip(s.request("POST", "far", alice,
		`{"jsonrpc":"2.0","id":"l","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+modernMeta+`}}`,
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen").WithContext(ctx))
	if err != nil || modern.StatusCode != 200 {
		t.Fatalf("listen: %v, %v", modern, err)
	}
	defer modern.Body.Close()
	lines, acknowledged := bufio.NewScanner(modern.Body), false
	for !acknowledged && lines.Scan() {
		acknowledged = strings.Contains(lines.Text(), "notifications/subscriptions/acknowledged")
	}
	if !acknowledged {
		t.Errorf("the listener ended without its acknowledgement: %v", lines.Err())
	}
	// It sleeps like any other, listeners or not, and wakes.
	s.eventually("the group is gone", 10*time.Second, func() bool { return len(s.processes("shim")) == 0 })
	if resp, body := s.call("far", alice, "echo", `{"message":"awake"}`); resp.StatusCode != 200 || !strings.Contains(body, "awake") {
		t.Errorf("waking: %d %s", resp.StatusCode, body)
	} else {
		t.Logf("woken: %s", resp.Header.Get("Server-Timing"))
	}
}
