package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/servertoken"
)

// platform writes the operator's files, with an audit section, and returns their folder.
func platform(t *testing.T, section string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"platform.yaml": "apiVersion: v1\npublicURL: https://gateway.test\nissuers: [{url: 'https://issuer.test', audiences: ['{resource}'], default: true}]\n" + section,
		"catalog.yaml":  "apiVersion: v1\nservers: []\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PLATFORM", filepath.Join(folder, "platform.yaml"))
	return folder
}

const section = "audit: {url: 'https://gateway.test/audit', secret: {key: audit}, store: {auditors: [security]}}\n"

// The token that an operator is told is the one that the function knows, time after time.
func TestTokenCommand(t *testing.T) {
	folder := platform(t, section)
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := run("notes", out, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.ReadFile(filepath.Join(folder, ".run", "audit", "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := servertoken.New("audit", key)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := tokens.Server(strings.TrimSpace(first.String()))
	if id != "notes" || !ok || first.String() != second.String() {
		t.Errorf("%s %v, %q %q", id, ok, first.String(), second.String())
	}
}

// Shims of other users bring records by the socket, and auditors find them at the address.
func TestServesShimsOnASocket(t *testing.T) {
	folder := platform(t, "audit: {url: 'unix:in/s', store: {auditors: [security]}}\n")
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	p, err := catalog.LoadPlatform(os.Getenv("PLATFORM"))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(folder, "in", "s"); p.Audit.Socket() != want {
		t.Fatalf("the socket is %s, want %s", p.Audit.Socket(), want)
	}
	go func() { served <- r.server.serve(ctx, "127.0.0.1:0", p.Audit.Socket()) }()
	s, err := sink.New(sink.Config{URL: p.Audit.URL, Credential: secret.New(r.server.tokens.Of("notes")), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if err = s.Send(t.Context(), "a-batch-by-socket", [][]byte{line(t, "notes", 1, nil)}); err == nil || n > 100 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
	for path, want := range map[string]os.FileMode{"in": 0o711, "in/s": 0o666} {
		if info, err := os.Stat(filepath.Join(folder, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// What is wrong is said before anything is served.
func TestOperatorsMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		section, key string
		shim         string
		function     bool
		says         string
	}{
		"no section":          {"", "", "", false, "has no audit.store"},
		"a sink of others":    {"audit: {url: 'https://siem.test'}\n", "", "", false, "has no audit.store"},
		"a short key":         {section, "short", "notes", false, "5 bytes instead of 32"},
		"a function's folder": {section, "", "", true, "a function keeps no file"},
		"a table's own key":   {strings.Replace(section, "[security]", "[security], table: mcp-audit, bucket: mcp-audit", 1), "", "notes", false, "read the key of servers' tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := platform(t, c.section)
			if c.key != "" {
				at := filepath.Join(folder, ".run", "audit")
				if err := os.MkdirAll(at, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(at, "token.key"), []byte(c.key), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.function {
				t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
			}
			if err := run(c.shim, &bytes.Buffer{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
