package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
)

// open reads the documents as they are now.
func (r *rig) open() *documents.Version {
	r.t.Helper()
	files, err := documents.Open(documents.Config{Platform: filepath.Join(r.dir, "platform.yaml"), Conditions: catalog.LeaveConditions, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	return files.Current()
}

// What the operator's files hold is looked at before anything is served.
func TestOperatorsMistakes(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(*rig)
		says string
	}{
		"an empty secret":    {func(r *rig) { r.write("robot", "\n") }, "is empty"},
		"no secret":          {func(r *rig) { _ = os.Remove(filepath.Join(r.dir, "robot")) }, "robot"},
		"a redirect anybody": {func(r *rig) { r.rewrite(`redirects: ["http://127.0.0.1/cb"]`, `redirects: ["http://evil.example/cb"]`) }, "redirect URI"},
		"no keys":            {func(r *rig) { r.rewrite("secret: robot}", "keys: robot}") }, "jwks"},
		"a provider's empty": {func(r *rig) {
			r.rewrite("clientID: mcpgateway}", "clientID: mcpgateway, secret: up}")
			r.write("up", "")
		}, "is empty"},
	} {
		r := newRig(t, twoServers)
		tc.make(r)
		if _, err := newServer(r.open(), r.server.store, slog.New(slog.DiscardHandler), r.now); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Editors end a file with a line break.
func TestSecretsLineBreak(t *testing.T) {
	r := newRig(t, twoServers)
	r.write("robot", agentSecret+"\r\n")
	r.restart()
	if a := r.post("/token", agentForm(r), basic(agentID, agentSecret)); a.Status != 200 {
		t.Errorf("%+v", a)
	}
}

// A catalog is taken over at once; another place to sign in is not.
func TestAccept(t *testing.T) {
	r := newRig(t, "  - {id: notes, runtime: {command: {exec: x, http: {}}}}\n")
	form := agentForm(r)
	form.Del("resource")
	if a := r.post("/token", form, basic(agentID, agentSecret)); a.Status != 200 {
		t.Fatalf("the only server: %+v", a)
	}
	r.write("catalog.yaml", "apiVersion: v1\nservers:\n"+twoServers+"policies: [{name: a, allow: {anyone: true}, servers: ['*']}]\n")
	if err := r.server.accept(r.open()); err != nil {
		t.Fatal(err)
	}
	if a := r.post("/token", form, basic(agentID, agentSecret)); a.Error != "invalid_target" {
		t.Errorf("one of two servers: %+v", a)
	}
	text, _ := os.ReadFile(filepath.Join(r.dir, "platform.yaml"))
	r.write("platform.yaml", strings.ReplaceAll(string(text), r.url, "http://127.0.0.1:1"))
	if err := r.server.accept(r.open()); err == nil {
		t.Error("another URL is taken over")
	}
}
