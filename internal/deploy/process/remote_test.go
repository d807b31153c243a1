package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
)

// A remote server's group is its shim alone. Of our environment it gets whom the operator trusts to sign certificates,
// and no proxy.
func TestRemoteGroup(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "/etc/own.pem")
	t.Setenv("HTTPS_PROXY", "http://proxy.test")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules", "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := catalog.Server{
		ID: "a", Runtime: catalog.Runtime{Remote: &catalog.Remote{URL: "https://mcp.example.com/mcp"}},
		Egress: []catalog.Egress{{CIDR: "140.82.112.0/20", Ports: []int{443}}},
		Scale:  catalog.Scale{Idle: catalog.Duration(time.Minute)}, Startup: catalog.Startup{Timeout: catalog.Duration(time.Minute)},
	}
	plan, err := deploy.MakePlan(s, nil, deploy.Options{RulesKey: deploytest.NewRig().RulesKey()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := newBlueprint(Config{State: dir, Secrets: filepath.Join(dir, "secrets"), Shim: "/bin/sh"}, plan, group{dir: "/g/1"}, nil).spec()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Units) != 1 || !got.Units[0].Shim || portsNeeded(plan) != 0 {
		t.Fatalf("got %+v", got.Units)
	}
	env := "\n" + string(bytes.Join(got.Units[0].Env, []byte("\n"))) + "\n"
	for _, v := range []string{"SHIM_UPSTREAM=https://mcp.example.com/mcp", "SHIM_EGRESS=140.82.112.0/20 443", "SSL_CERT_FILE=/etc/own.pem", "SHIM_IDLE=1m0s"} {
		if !strings.Contains(env, "\n"+v+"\n") {
			t.Errorf("the shim lacks %s:%s", v, env)
		}
	}
	if strings.Contains(env, "PROXY") {
		t.Errorf("the shim has a proxy: %s", env)
	}
}
