package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A function has no disk, and what is kept on its own would be gone with it.
func TestFunctionNeedsATable(t *testing.T) {
	r := newRig(t, twoServers)
	t.Setenv("PLATFORM", filepath.Join(r.dir, "platform.yaml"))
	t.Setenv("LISTEN", "")
	t.Setenv("PORT", "")
	t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
	if err := run(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "oauth.table") {
		t.Error(err)
	}
}

// What is at the platform file's side is named, the secrets too; of a file with mistakes nothing is.
func TestNamedFiles(t *testing.T) {
	r := newRig(t, twoServers)
	platform := filepath.Join(r.dir, "platform.yaml")
	want := []string{filepath.Join(r.dir, "catalog.yaml"), r.server.documents.Load().Platform.OAuth.Key, filepath.Join(r.dir, "robot")}
	if diff := cmp.Diff(want, namedFiles(platform)); diff != "" {
		t.Error(diff)
	}
	r.write("platform.yaml", "apiVersion: v2\n")
	if got := namedFiles(platform); got != nil {
		t.Error(got)
	}
}
