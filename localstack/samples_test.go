package localstack

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
)

// parse reads a catalog as one that may use all fields, built or not.
func parse(t *testing.T, text []byte) *catalog.Catalog {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.ParseCatalog(path, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

func TestSampleCatalog(t *testing.T) {
	folder := `/a "folder": {with} # signs`
	for _, tc := range []struct {
		node    bool
		servers []string
	}{
		{false, []string{"playground", "workbench", "desk"}},
		{true, []string{"playground", "workbench", "desk", "everything", "files"}},
	} {
		text := makeSample(tc.node, folder)
		c := parse(t, text)
		var ids []string
		issuers := []identity.Issuer{{URL: "https://issuer.test", Audiences: []string{"{resource}"}, Default: true}}
		set, err := policy.CompileAdmission(c.Policies, issuers)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Servers {
			ids = append(ids, s.ID)
			if !set.Admits(identity.Identity{Issuer: issuers[0].URL, Subject: "alice", Groups: []string{"engineering"}}, s.ID) {
				t.Errorf("alice may not use %s", s.ID)
			}
			if npx := s.Runtime.NPX; npx != nil && set.Admits(identity.Identity{Issuer: issuers[0].URL, Subject: "bob", Groups: []string{"sales"}}, s.ID) {
				t.Errorf("bob may use %s", s.ID)
			}
		}
		if diff := cmp.Diff(tc.servers, ids); diff != "" {
			t.Errorf("node %v:\n%s", tc.node, diff)
		}
		if files, ok := c.Server("files"); ok && !slices.Equal(files.Runtime.NPX.Args, []string{folder}) {
			t.Errorf("files gets %q", files.Runtime.NPX.Args)
		}
		if gap := regexp.MustCompile(`\n\n\n|\n\n$`).Find(text); gap != nil || !strings.HasPrefix(string(text), "# The sample catalog") {
			t.Errorf("node %v: not nice to read:\n%s", tc.node, text)
		}
	}
}

// install puts programs of nothing on the path, and nothing else.
func install(t *testing.T, programs ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func TestWriteSample(t *testing.T) {
	state := t.TempDir()
	s := &stack{Config: Config{State: state, Catalog: filepath.Join(state, "catalog.yaml")}}
	folder, note := filepath.Join(state, "files"), filepath.Join(state, "files", "readme.txt")
	write := func(hint string) {
		t.Helper()
		s.hint = ""
		if err := s.writeSample(); err != nil {
			t.Fatal(err)
		}
		if hint == "" && s.hint != "" || !strings.Contains(s.hint, hint) {
			t.Errorf("hint %q, want %q", s.hint, hint)
		}
	}
	is := func(want []byte) {
		t.Helper()
		if got, err := os.ReadFile(s.Catalog); err != nil || string(got) != string(want) {
			t.Errorf("%v, the catalog is\n%s", err, got)
		}
	}
	install(t, "node") // without npm that is not enough
	write("Install Node.js")
	is(makeSample(false, folder))
	if _, err := os.Lstat(folder); err == nil {
		t.Error("a folder for nobody")
	}
	write("Install Node.js")
	install(t, "node", "npm")
	write("Node.js is installed: remove " + s.Catalog)
	is(makeSample(false, folder)) // never overwritten
	if err := os.Remove(s.Catalog); err != nil {
		t.Fatal(err)
	}
	write("")
	is(makeSample(true, folder))
	if text, err := os.ReadFile(note); err != nil || string(text) != readme {
		t.Errorf("%q, %v", text, err)
	}
	mine := []byte("apiVersion: v1\nservers: []\n")
	for path, text := range map[string][]byte{s.Catalog: mine, note: []byte("mine")} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	is(mine)
	if err := os.Remove(s.Catalog); err != nil {
		t.Fatal(err)
	}
	write("")
	if text, _ := os.ReadFile(note); string(text) != "mine" {
		t.Errorf("the folder's file was overwritten: %q", text)
	}
}

func TestHintIsPrinted(t *testing.T) {
	r := start(t, Config{})
	r.await(t, &r.out, "Install Node.js to get two more samples")
}
