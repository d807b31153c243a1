package secretversion

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/secretversion/secretversiontest"
)

func TestCurrent(t *testing.T) {
	fake := secretversiontest.Start(t)
	source := New(fake.Config(secretversiontest.Describer))
	fake.Put("mcp/github/server", `{"token":"one"}`)
	want := fake.Put("mcp/github/server", `{"token":"two"}`)
	if got, err := source.Current(t.Context(), "mcp/github/server"); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if _, err := source.Current(t.Context(), "mcp/github/server"); err != nil { // as for the next instance of the server
		t.Error(err)
	}
	if asked := fake.Asked(); !slices.Equal(asked, []string{"DescribeSecret mcp/github/server"}) {
		t.Errorf("asked was %q", asked)
	}
	want = fake.Put("mcp/github/server", `{"token":"three"}`)
	time.Sleep(fresh)
	if got, err := source.Current(t.Context(), "mcp/github/server"); err != nil || got != want {
		t.Errorf("after a rotation %q, %v; want %q", got, err, want)
	}
}

// What an operator has to do is in the error.
func TestNoVersion(t *testing.T) {
	fake := secretversiontest.Start(t)
	fake.Put("empty", "")
	fake.Put("deleted", "x")
	fake.Delete("deleted")
	source := New(fake.Config(secretversiontest.Describer))
	for name, want := range map[string]string{
		"missing": "create-secret --name missing ", "empty": "put-secret-value --secret-id empty ", "deleted": "restore-secret --secret-id deleted ",
	} {
		if id, err := source.Current(t.Context(), name); id != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
	fake.Down.Store(true)
	if _, err := source.Current(t.Context(), "empty"); err == nil || !strings.Contains(err.Error(), "version of empty") {
		t.Errorf("down: %v", err)
	}
}

// Who signs wrongly is answered nothing.
func TestSignature(t *testing.T) {
	fake := secretversiontest.Start(t)
	fake.Put("mcp/github/server", "x")
	thief := secretversiontest.Describer
	thief.SecretAccessKey = "guessed"
	if _, err := New(fake.Config(thief)).Current(t.Context(), "mcp/github/server"); err == nil || !strings.Contains(err.Error(), "IncompleteSignature") {
		t.Errorf("%v", err)
	}
	if fake.Asked() != nil {
		t.Error("it was heard")
	}
}
