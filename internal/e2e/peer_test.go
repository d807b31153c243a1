package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

// peer is a program of Node.js that runs with libraries of npm until the test's end.
type peer struct {
	t   *testing.T
	log string
}

// installPeer puts a program where it finds its libraries, which are installed where they are not yet: that needs the network. It
// returns Node.js, and where the program lies.
func installPeer(t *testing.T, name string, program []byte, libraries ...string) (node, script string) {
	t.Helper()
	cache, err := filepath.Abs("../../.cache")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	install := peers.Installer{Dir: cache}
	dir, err := install.NPM(t.Context(), libraries...)
	if err != nil {
		t.Fatal(err)
	}
	if node, err = install.Node(t.Context()); err != nil {
		t.Fatal(err)
	}
	script = filepath.Join(dir, name)
	if err := os.WriteFile(script, program, 0o600); err != nil {
		t.Fatal(err)
	}
	return node, script
}

// start starts it, and waits until it listens.
func (p *peer) start(address, node string, args ...string) {
	p.t.Helper()
	process, err := proxytest.StartProcess(proxytest.Command{Path: node, Args: args, Log: p.log})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			p.t.Error(err)
		}
		if p.t.Failed() {
			p.t.Logf("%s:\n%s", filepath.Base(p.log), p.said())
		}
	})
	if err := process.Await(p.t.Context(), "tcp", address); err != nil {
		p.t.Fatalf("%v\n%s", err, p.said())
	}
}

// said is its log.
func (p *peer) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}
