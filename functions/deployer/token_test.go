package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/servertoken"
)

// A shim's tokens are where it is given its secrets from: made with the function's key, which is made where there is none, and
// made anew with another.
func TestTokensAreHanded(t *testing.T) {
	folder := t.TempDir()
	p := &catalog.Platform{Audit: &catalog.AuditSink{Store: &catalog.AuditStore{Key: filepath.Join(folder, "token.key")}}, Deployer: catalog.Deployer{Secrets: folder}}
	plan := deploy.Plan{Server: "notes", Units: []deploy.Unit{{Secrets: []deploy.Secret{{Store: "mcp-notes-shim", Key: "chosen"},
		{Store: "mcp-notes-shim", Key: "audit-token", Token: servertoken.Audit}}}}}
	for range 2 {
		if err := handTokens(p, plan); err != nil {
			t.Fatal(err)
		}
		key, err := tokenKey(p, servertoken.Audit)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "notes-shim", "audit-token")
		token, err := os.ReadFile(path)
		if id, ok := key.Server(string(token)); id != "notes" || !ok || err != nil {
			t.Errorf("%s: %v, %v", id, ok, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if err := os.Remove(p.Audit.Store.Key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "notes-shim", "chosen")); err == nil {
		t.Error("what an operator chooses is made")
	}
	plan.Units[0].Secrets[0].Token = servertoken.Sessions
	if err := handTokens(p, plan); err == nil || !strings.Contains(err.Error(), "says nothing of sessions") {
		t.Errorf("of a function that there is not: %v", err)
	}
}

// In a cluster the keys are the operator's, of the functions that know shims and no others.
func TestTokenKeysOfACluster(t *testing.T) {
	at := filepath.Join(t.TempDir(), "token.key")
	p := &catalog.Platform{Deployer: catalog.Deployer{Knative: &catalog.Knative{}}}
	for name, a := range map[string]*catalog.AuditSink{"no sink": nil, "another's": {}, "chosen tokens": {Store: &catalog.AuditStore{Key: at}, Secret: &catalog.SecretKey{Key: "audit"}}} {
		p.Audit = a
		if keys, err := tokenKeys(p); len(keys) != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, len(keys), err)
		}
	}
	p.Audit = &catalog.AuditSink{Store: &catalog.AuditStore{Key: at}}
	if _, err := tokenKeys(p); err == nil || !strings.Contains(err.Error(), at) {
		t.Errorf("without a key: %v", err)
	}
	if err := os.WriteFile(at, []byte(strings.Repeat("k", servertoken.MinKey)), 0o400); err != nil {
		t.Fatal(err)
	}
	if keys, err := tokenKeys(p); len(keys) != 1 || err != nil {
		t.Errorf("%d, %v", len(keys), err)
	}
}
