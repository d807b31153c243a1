package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
	"mcpgateway/internal/rules"
)

// A filter that somebody else wrote, with somebody else's library, works as it is, and comes back after a restart:
// TEST_NETWORK=1 go test -run SomebodyElse ./shim
func TestSomebodyElsesFilter(t *testing.T) {
	if os.Getenv("TEST_NETWORK") == "" {
		t.Skip("it needs the network: TEST_NETWORK is not set")
	}
	installer := peers.Installer{Dir: t.TempDir()}
	node, err := exec.LookPath("node") // the SDK runs on older ones than other peers need
	if err != nil {
		node, err = installer.Node(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := installer.NPM(t.Context(), peers.SDK)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("testdata/filter.mjs")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "filter.mjs") // beside its node_modules
	if err := os.WriteFile(script, source, 0o600); err != nil {
		t.Fatal(err)
	}
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	start := func() *proxytest.Process {
		p, err := proxytest.StartProcess(proxytest.Command{Path: node, Args: []string{script, port}, Log: filepath.Join(dir, "log")})
		if err == nil {
			err = p.Await(t.Context(), "tcp", address)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	r := newRig(t, echo)
	r.filter(t, rules.Filter{Name: "words", Server: &rules.FilterServer{URL: "http://" + address + "/mcp", Tool: "check", Egress: "127.0.0.1/32 " + port},
		On: []string{"tools/call&direction=request"}, Mutate: true, Timeout: 20 * time.Second, OnError: rules.OnErrorReject})
	for range 2 {
		p := start()
		for tool, want := range map[string]string{"x": `\"name\":\"x\"`, "secret": `\"name\":\"***\"`, "forbidden": "Refused by a filter: words",
			`secret","old":"`: `\"name\":\"***\",\"old\"`, `forbidden","old":"`: "Refused by a filter: words"} {
			if _, body := r.post(t, r.engineer(t), callTool(tool)); !strings.Contains(body, want) {
				t.Errorf("%s: %s", tool, body)
			}
		}
		<-time.After(1100 * time.Millisecond) // a session that fails younger is not taken for lost
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}
