package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/peers"
)

// The catalog must be one that the gateway takes, and keep programs and arguments as they are.
func TestCatalogIsValid(t *testing.T) {
	platform := &catalog.Platform{PublicURL: "http://127.0.0.1:1",
		Issuers: []identity.Issuer{{URL: "http://127.0.0.1:2", Audiences: []string{"{resource}"}, Default: true}}}
	c := campaign{tools: tools{self: "/opt/conformance", fixture: "/opt/a \"b\"/everything-server"}}
	fixture, root := c.tools.fixture, &catalog.HTTP{Path: "/"}
	want := map[string]catalog.Runtime{
		"stateful-fixture http":   {Command: &catalog.Command{Exec: fixture, Args: []string{"-http=127.0.0.1:{port}", "-stateless=false"}, HTTP: root}},
		"stateful-fixture stdio":  {Command: &catalog.Command{Exec: fixture}},
		"stateless-fixture http":  {Command: &catalog.Command{Exec: fixture, Args: []string{"-http=127.0.0.1:{port}"}, HTTP: root}},
		"stateless-fixture stdio": {Command: &catalog.Command{Exec: fixture}},
		"stateful-fixture modern-only-http": {Command: &catalog.Command{Exec: "/opt/conformance",
			Args: []string{"-one-era=modern", fixture, "-http=127.0.0.1:{port}"}, HTTP: root}},
		"stateful-fixture modern-only-stdio": {Command: &catalog.Command{Exec: "/opt/conformance", Args: []string{"-one-era=modern", fixture}}},
		"stateless-fixture legacy-only-http": {Command: &catalog.Command{Exec: "/opt/conformance",
			Args: []string{"-one-era=legacy", fixture, "-http=127.0.0.1:{port}", "-stateless=false"}, HTTP: root}},
		"stateless-fixture legacy-only-stdio": {Command: &catalog.Command{Exec: "/opt/conformance", Args: []string{"-one-era=legacy", fixture}}},
		"server-everything npx":               {NPX: &catalog.Package{Package: peers.EverythingServer, Args: []string{"stdio"}}},
	}
	for _, p := range profiles {
		for _, w := range p.ways {
			path := filepath.Join(t.TempDir(), "catalog.yaml")
			if err := os.WriteFile(path, []byte(withHook(c.catalog(p, w), "http://127.0.0.1:1")), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := catalog.LoadCatalog(path, platform, compile.Check)
			if err != nil {
				t.Fatal(err)
			}
			s, ok := got.Server(p.server)
			if !ok {
				t.Fatalf("no server %s", p.server)
			}
			if diff := cmp.Diff(want[p.server+" "+w.name], s.Runtime); diff != "" {
				t.Errorf("%s %s: catalog differs (-want +got):\n%s", p.server, w.name, diff)
			}
		}
	}
}

// What passes direct and not through us is a problem, unless it is excused for that way.
func TestTableReport(t *testing.T) {
	passed, failed := []check{{ID: "c", Status: success}}, []check{{ID: "c", Status: failure, ErrorMessage: "why"}}
	var out strings.Builder
	report := table{profile: profile{revision: "r"}, direct: results{"a": passed, "b": passed}, columns: []column{
		{way{name: "http"}, results{"a": passed, "b": failed}},
		{way{name: "stdio", excused: map[string]string{"a": "no header"}}, results{"a": failed, "b": passed}},
	}}
	if got, want := report.report(&out), []string{"r, http, b, c: FAILURE: why"}; !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
	for _, want := range []string{"a 1/0 1/0 0/1 <- fails through stdio", "b 1/0 0/1 1/0 <- fails through http", "total 2/0 1/1 1/1",
		"stdio, a, c: FAILURE: why (excused: no header)"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.TrimSpace(want)) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
}

// A warning can be excused check by check, a failure of the same check cannot.
func TestOnlyWarningsAreExcusedByCheck(t *testing.T) {
	for status, want := range map[string]string{warning: "races", failure: ""} {
		c := column{way{name: "stdio", warned: map[string]string{"c": "races"}}, results{"a": {{ID: "c", Status: status}}}}
		lost := c.losses(results{"a": {{ID: "c", Status: success}}})
		if len(lost) != 1 || lost[0].excuse != want {
			t.Errorf("%s: %+v", status, lost)
		}
	}
}

// A fixture that changed is named with what it failed, so that the end of a log tells whose fault a red run is.
func TestCompareNamesWhatTheFixtureFailed(t *testing.T) {
	p := profile{revision: "r", server: "f", passed: 2}
	if got := p.compare(results{"a": {{ID: "c", Status: success}, {ID: "d", Status: success}}}); got != nil {
		t.Errorf("as known: %q", got)
	}
	got := p.compare(results{"a": {{ID: "c", Status: success}, {ID: "d", Status: failure, ErrorMessage: "late"}}})
	if err := report(got, 3); err == nil || !strings.Contains(err.Error(), "1/1 and is known for 2/0") ||
		!strings.Contains(err.Error(), "a, d: late") {
		t.Errorf("changed: %v", err)
	}
	if err := report(nil, 3); err != nil {
		t.Errorf("no problem: %v", err)
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
