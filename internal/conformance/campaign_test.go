package main

import (
	"os"
	"path/filepath"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
)

// The catalog must be one that the gateway takes, and keep the fixture's arguments as they are.
func TestCatalogIsValid(t *testing.T) {
	platform := &catalog.Platform{PublicURL: "http://127.0.0.1:1",
		Issuers: []identity.Issuer{{URL: "http://127.0.0.1:2", Audiences: []string{"{resource}"}, Default: true}}}
	c := campaign{tools: tools{fixture: "/opt/a \"b\"/everything-server"}}
	for _, p := range profiles {
		path := filepath.Join(t.TempDir(), "catalog.yaml")
		if err := os.WriteFile(path, []byte(c.catalog(p)), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := catalog.LoadCatalog(path, platform)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := got.Server(p.server)
		if !ok || s.Runtime.Command.Exec != c.tools.fixture || len(s.Runtime.Command.Args) != 1+len(p.fixtureArgs) {
			t.Errorf("catalog holds %+v", s)
		}
	}
}

func TestKeepLogs(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"gateway.log": "g", ".run/s/audit.jsonl": "s", "issuer.key": "secret"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := keepLogs(dir, out); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) != 2 || entries[0].Name() != "gateway.log" || entries[1].Name() != "run-s-audit.jsonl" {
		t.Errorf("kept %v, %v", entries, err)
	}
}
