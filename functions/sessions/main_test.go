package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/servertoken"
)

// platform writes the operator's files, with a sessions section, and returns their folder.
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

const section = "sessions: {url: 'https://gateway.test/sessions'}\n"

// The token that an operator is told is the one that the function knows, time after time.
func TestTokenCommand(t *testing.T) {
	folder := platform(t, section)
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := run("notes", out, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	tokens, err := servertoken.Read(servertoken.Sessions, filepath.Join(folder, ".run", "sessions", "token.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := tokens.Server(strings.TrimSpace(first.String())); id != "notes" || !ok || first.String() != second.String() {
		t.Errorf("%s %v, %q %q", id, ok, first.String(), second.String())
	}
}

// What is wrong is said before anything is served.
func TestOperatorsMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		section  string
		shim     string
		function bool
		says     string
	}{
		"no section":        {"", "", false, "has no sessions section"},
		"a function's file": {section, "", true, "a function keeps no file"},
		"a table's own key": {strings.Replace(section, "{", "{table: mcp-sessions, ", 1), "notes", false, "read the key of servers' tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			platform(t, c.section)
			if c.function {
				t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
			}
			if err := run(c.shim, &bytes.Buffer{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
