package deploy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
)

// The shim is told where records go, the credential by a file, and a change of the sink is another plan.
func TestAuditSink(t *testing.T) {
	s, o := entry("command-http", "shared", "none"), options("shared")
	s.Runtime.Command = &catalog.Command{Exec: "/opt/server", HTTP: &catalog.HTTP{}}
	without, err := MakePlan(s, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Audit = &catalog.AuditSink{URL: "https://siem.test/in", Secret: &catalog.SecretKey{Key: "siem"}, Second: "none", SpoolMiB: 16, Interval: catalog.Duration(time.Second)}
	p, err := MakePlan(s, nil, o)
	if err != nil || p.Hash == without.Hash {
		t.Fatal(err, "the same plan with and without a sink")
	}
	shim := p.Units[0]
	for _, want := range []EnvVar{{"SHIM_AUDIT_URL", "https://siem.test/in"}, {"SHIM_AUDIT_SPOOL", "{state}"}, {"SHIM_AUDIT_SPOOL_BYTES", "16777216"}, {"SHIM_AUDIT_SECOND", "none"}, {"SHIM_AUDIT_INTERVAL", "1s"}} {
		if !slices.Contains(shim.Env, want) {
			t.Errorf("the shim is not told %v", want)
		}
	}
	if want := (Secret{Store: "mcp-github-shim", Key: "siem", File: "SHIM_AUDIT_SECRET_FILE"}); !slices.Contains(shim.Secrets, want) {
		t.Errorf("the shim's secrets are %v", shim.Secrets)
	}
	for _, u := range p.Units[1:] {
		for _, v := range u.Env {
			if strings.HasPrefix(v.Name, "SHIM_AUDIT") {
				t.Errorf("%s is told %v", u.Name, v)
			}
		}
	}
	o.Audit.Secret.Key = "seal"
	if _, err := MakePlan(s, nil, o); err == nil {
		t.Error("the key that seals session ids is sent to the sink")
	}
	o.Audit, s.Audit.Required = nil, true
	if _, err := MakePlan(s, nil, o); err == nil {
		t.Error("an entry needs a sink, and there is none")
	}
}

// Where functions/audit is the sink and nobody chose a token, the deployer makes it; and a socket of this machine is mounted.
func TestOwnAuditSink(t *testing.T) {
	s, o := entry("command-http", "shared", "none"), options("shared")
	s.Runtime.Command = &catalog.Command{Exec: "/opt/server", HTTP: &catalog.HTTP{}}
	o.Audit = &catalog.AuditSink{URL: "unix:/srv/audit-in/audit.sock", Store: &catalog.AuditStore{}, SpoolMiB: 16}
	p, err := MakePlan(s, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	shim := p.Units[0]
	if want := (EnvVar{"SHIM_AUDIT_URL", "unix:{mount:audit}"}); !slices.Contains(shim.Env, want) {
		t.Errorf("the shim is not told %v", want)
	}
	if want := (Mount{Name: "audit", From: "/srv/audit-in", File: "audit.sock"}); !slices.Contains(shim.Mounts, want) {
		t.Errorf("the shim mounts %v", shim.Mounts)
	}
	if want := (Secret{Store: "mcp-github-shim", Key: "audit-token", File: "SHIM_AUDIT_SECRET_FILE", Token: "audit"}); !slices.Contains(shim.Secrets, want) {
		t.Errorf("the shim's secrets are %v", shim.Secrets)
	}
	for _, u := range p.Units[1:] {
		if slices.ContainsFunc(u.Mounts, func(m Mount) bool { return m.Name == "audit" }) {
			t.Errorf("%s reaches the sink", u.Name)
		}
	}
	s.Headers = []catalog.Header{{Name: "X-Key", Secret: &catalog.SecretKey{Key: "audit-token"}}}
	if _, err := MakePlan(s, nil, o); err == nil {
		t.Error("the server is sent the shim's token")
	}
}

// A server with discovery: cached leaves what it says of itself where its records are, by a key that gateway and shim share.
func TestLists(t *testing.T) {
	s, o := entry("command-http", "shared", "none"), options("shared")
	s.Runtime.Command = &catalog.Command{Exec: "/opt/server", HTTP: &catalog.HTTP{}}
	s.Discovery = "cached"
	if _, err := MakePlan(s, nil, o); err == nil {
		t.Error("there is nowhere to leave it")
	}
	o.Audit = &catalog.AuditSink{URL: "https://gateway.test/audit", Store: &catalog.AuditStore{}, SpoolMiB: 16}
	p, err := MakePlan(s, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	shim := p.Units[0]
	if want := (EnvVar{"SHIM_REVISION", s.Revision()}); !slices.Contains(shim.Env, want) {
		t.Errorf("the shim is not told %v", want)
	}
	if want := (Secret{Store: "mcp-github-shim", Key: "gateway", File: "SHIM_GATEWAY_KEY_FILE", Shared: true}); !slices.Contains(shim.Secrets, want) {
		t.Errorf("the shim's secrets are %v", shim.Secrets)
	}
	for _, u := range p.Units[1:] {
		if slices.ContainsFunc(u.Secrets, func(s Secret) bool { return s.Shared }) {
			t.Errorf("%s is given the key", u.Name)
		}
	}
	s.Discovery = "live"
	if p, err = MakePlan(s, nil, o); err != nil || slices.ContainsFunc(p.Units[0].Env, func(v EnvVar) bool { return v.Name == "SHIM_REVISION" }) {
		t.Errorf("lists of a live server are left, %v", err)
	}
}

func TestAuditSettings(t *testing.T) {
	for name, c := range map[string]struct {
		in   catalog.Audit
		want *audit.Settings
	}{
		"as every shim":  {catalog.Audit{Bodies: "metadata", MaxBody: 65536}, nil},
		"none":           {catalog.Audit{Bodies: "none", MaxBody: 65536}, &audit.Settings{Bodies: audit.BodiesNone}},
		"required":       {catalog.Audit{Bodies: "metadata", MaxBody: 65536, Required: true}, &audit.Settings{Required: true}},
		"full, redacted": {catalog.Audit{Bodies: "full", MaxBody: 2048, Redact: []string{"$.a"}}, &audit.Settings{Bodies: audit.BodiesFull, MaxBody: 2048, Redact: []string{"$.a"}}},
	} {
		got := makeAudit(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if _, err := audit.Compile(got); err != nil {
			t.Errorf("%s: the shim refuses it: %v", name, err)
		}
	}
}
