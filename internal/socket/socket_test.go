package socket

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shortDir makes a folder with a short path, as Unix sockets need.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "so")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "x", "y.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another program serves") {
		t.Errorf("a second one got %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a kill leaves it
	l.Close()
	if l, err = Listen(path); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenIsPrivate(t *testing.T) {
	path := filepath.Join(shortDir(t), "x", "y.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for at, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Lstat(at); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", at, info, err, want)
		}
	}
	after := filepath.Join(filepath.Dir(path), "after")
	if err := os.WriteFile(after, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(after); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("a file made afterwards: %v, %v", info, err)
	}
}

func TestListenRemovesNothingElse(t *testing.T) {
	path := filepath.Join(shortDir(t), "notes.txt")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}
