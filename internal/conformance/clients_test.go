package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/identity"
)

func TestReadClientResults(t *testing.T) {
	dir := write(t, map[string]string{
		"sse-retry-2026-11-22T10-12-32-717Z":         `[{"id":"a","status":"SUCCESS"}]`,
		"json-schema-2020-12-2026-11-22T10-12-32-7Z": `[{"id":"b","status":"FAILURE"}]`,
		"auth":           `not json`,
		"logs-sse-retry": `not json`,
	})
	got, err := readResults(dir, clientFolder)
	want := results{"sse-retry": {{ID: "a", Status: success}}, "json-schema-2020-12": {{ID: "b", Status: failure}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, results (-want +got):\n%s", err, diff)
	}
}

func TestListLeftOut(t *testing.T) {
	c := campaign{out: t.TempDir()}
	p := profile{revision: "2026-07-28"}
	for _, name := range []string{"iss-supported-2026-11-22T10-12-32-717Z", "basic-cimd-2026-11-22T10-12-32-717Z"} {
		if err := os.MkdirAll(filepath.Join(c.out, "2026-07-28-client-direct", "auth", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := c.listLeftOut(&b, p); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, leftOutReason) || !strings.Contains(got, "  auth/basic-cimd\n  auth/iss-supported\n") {
		t.Errorf("listed %q", got)
	}
}

func TestVisitorLeavesOut(t *testing.T) {
	t.Setenv(suiteScenario, "auth/basic-cimd")
	if err := visitor(t.Context(), "http://127.0.0.1:1/mcp"); err == nil || !strings.Contains(err.Error(), "left out") {
		t.Errorf("err = %v", err)
	}
}

func TestSuiteCatalogIsValid(t *testing.T) {
	platform := &catalog.Platform{PublicURL: "http://127.0.0.1:1",
		Issuers: []identity.Issuer{{URL: "http://127.0.0.1:2", Audiences: []string{"{resource}"}, Default: true}}}
	for suiteURL, wantPath := range map[string]string{"http://localhost:3000": "/", "http://localhost:3000/mcp": "/mcp"} {
		text, err := suiteCatalog(suiteURL)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "catalog.yaml")
		if err := os.WriteFile(path, []byte(withHook(text, "http://127.0.0.1:1")), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := catalog.LoadCatalog(path, platform, compile.Check)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := got.Server(suiteServer)
		if !ok || s.Runtime.Remote.URL != "http://localhost:3000"+wantPath || len(s.Egress) != 2 || !cmp.Equal(s.Egress[0].Ports, []int{3000}) {
			t.Errorf("%s: catalog holds %+v, %+v", suiteURL, s.Runtime.Remote, s.Egress)
		}
	}
}
