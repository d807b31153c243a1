package servertoken

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newKey(t *testing.T, function string, fill byte) Key {
	t.Helper()
	k, err := New(function, bytes.Repeat([]byte{fill}, MinKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A token is one server's, at one function, under one key.
func TestServer(t *testing.T) {
	k := newKey(t, "sessions", 1)
	good := k.Of("notes")
	if id, ok := k.Server(good); id != "notes" || !ok {
		t.Errorf("%q, %v", id, ok)
	}
	for name, token := range map[string]string{
		"none": "", "of another key": newKey(t, "sessions", 2).Of("notes"), "of another function": newKey(t, "audit", 1).Of("notes"),
		"for another server": "other" + strings.TrimPrefix(good, "notes"), "cut": good[:len(good)-1], "longer": good + "A",
		"of no server": k.Of(""), "of what is no id": k.Of("No/tes"),
	} {
		if id, ok := k.Server(token); ok {
			t.Errorf("%s: taken for %q", name, id)
		}
	}
}

// A key that is missing is made where it is this machine's own, and nowhere else.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	if _, err := Read("sessions", path, false); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	made, err := Read("sessions", path, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, own := range []bool{true, false} {
		if again, err := Read("sessions", path, own); err != nil || again.Of("notes") != made.Of("notes") {
			t.Errorf("read again, own %v: another key, or %v", own, err)
		}
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read("sessions", path, false); err == nil || !strings.Contains(err.Error(), "5 bytes instead of 32") {
		t.Errorf("%v", err)
	}
}
