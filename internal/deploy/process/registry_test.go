package process

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

// TestRealRegistry installs from where npm is set to install from. It needs the network, so it runs only when asked:
// TEST_NETWORK=1 go test -run RealRegistry -v ./internal/deploy/process
func TestRealRegistry(t *testing.T) {
	if os.Getenv("TEST_NETWORK") == "" {
		t.Skip("it needs the network: TEST_NETWORK is not set")
	}
	t.Setenv("npm_config_cache", t.TempDir()) // nothing is there yet, as on a new machine
	p := newPlace(t)
	l := p.planned("everything", npx("@modelcontextprotocol/server-everything@2026.8.31", "stdio"))
	for _, what := range []string{"cold, with the install", "cold, installed"} {
		began := time.Now()
		if _, err := p.deployer.Ensure(context.Background(), l.plan); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: up after %v", what, time.Since(began).Round(time.Millisecond))
		if err := p.deployer.Remove(context.Background(), l.plan.Key()); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(p.log.String(), "\n")
	if len(lines) < 50 {
		t.Errorf("only %d lines say what was done", len(lines))
	}
	for _, line := range append(lines[:3:3], lines[max(3, len(lines)-8):]...) {
		t.Log(line)
	}
	for name, want := range map[string]string{
		"@modelcontextprotocol/no-server-is-called-this@1.2.3": `cannot be installed: npm says E404, .+\.$`,
		"@modelcontextprotocol/server-everything@1999.1.1":     `cannot be installed: npm says ETARGET, No matching version found`,
	} {
		l := p.planned("wrong", npx(name))
		began := time.Now()
		_, err := p.deployer.Ensure(context.Background(), l.plan)
		got := deploy.AsStartError(err)
		if !regexp.MustCompile(want).MatchString(got.Message) {
			t.Errorf("%s: %+v", name, got)
		}
		t.Logf("after %v: %s (again in %v)", time.Since(began).Round(time.Millisecond), got.Message, got.RetryAfter)
	}
}
