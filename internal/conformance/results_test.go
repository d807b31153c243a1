package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write lays out results as the suite does.
func write(t *testing.T, folders map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, checks := range folders {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "checks.json"), []byte(checks), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadResults(t *testing.T) {
	dir := write(t, map[string]string{
		"server-server-sse-polling-2026-11-22T10-12-32-717Z": `[{"id":"a","status":"SUCCESS","name":"A"},{"id":"b","status":"INFO"}]`,
		"server-json-schema-2020-12-2026-11-22T10-12-32-7Z":  `[{"id":"c","status":"FAILURE","errorMessage":"no"}]`,
		"something else": `not json`,
	})
	got, err := readResults(dir, serverFolder)
	if err != nil {
		t.Fatal(err)
	}
	want := results{
		"server-sse-polling":  {{ID: "a", Status: success}, {ID: "b", Status: "INFO"}},
		"json-schema-2020-12": {{ID: "c", Status: failure, ErrorMessage: "no"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if total := got.total(); total != (score{1, 1}) {
		t.Errorf("total = %s, want 1/1", total)
	}
}

func TestReadResultsRefuses(t *testing.T) {
	for name, folders := range map[string]map[string]string{
		"nothing": {},
		"broken":  {"server-ping-2026-11-22T10-12-31-955Z": `[{`},
	} {
		if r, err := readResults(write(t, folders), serverFolder); err == nil {
			t.Errorf("%s: read %v", name, r)
		}
	}
	if _, err := readResults(filepath.Join(t.TempDir(), "absent"), serverFolder); err == nil {
		t.Error("no error for an absent folder")
	}
}

func TestLosses(t *testing.T) {
	direct := results{
		"same":    {{ID: "a", Status: success}, {ID: "b", Status: failure}, {ID: "c", Status: "WARNING"}},
		"fails":   {{ID: "a", Status: success}},
		"weaker":  {{ID: "a", Status: success}},
		"fewer":   {{ID: "a", Status: success}, {ID: "a", Status: success}},
		"missing": {{ID: "a", Status: success}},
	}
	through := results{
		"same":   {{ID: "a", Status: success}, {ID: "b", Status: failure}, {ID: "c", Status: success}},
		"fails":  {{ID: "a", Status: failure, ErrorMessage: "403"}, {ID: "z", Status: success}},
		"weaker": {{ID: "a", Status: "SKIPPED"}},
		"fewer":  {{ID: "a", Status: success}},
		"more":   {{ID: "a", Status: failure}},
	}
	want := []loss{
		{scenario: "fails", check: "a", message: "FAILURE: 403"},
		{scenario: "fewer", check: "a", message: "not reported"},
		{scenario: "missing", check: "a", message: "not reported"},
		{scenario: "weaker", check: "a", message: "SKIPPED: "},
	}
	if diff := cmp.Diff(want, losses(direct, through), cmp.AllowUnexported(loss{})); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}
