package process

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

func TestKeyPrefix(t *testing.T) {
	shared := deploy.Key{Server: "a"}
	alice := deploy.Key{Server: "a", Owner: &deploy.Owner{Issuer: "i", Subject: "alice"}}
	if keyPrefix(shared) == keyPrefix(alice) {
		t.Error("two keys have one prefix")
	}
	owner := *alice.Owner
	if keyPrefix(alice) != keyPrefix(deploy.Key{Server: "a", Owner: &owner}) {
		t.Error("equal keys have two prefixes")
	}
}

func TestGroupIsAliveAsLongAsItsLockIsHeld(t *testing.T) {
	dir := t.TempDir()
	key := deploy.Key{Server: "a"}
	g, lock, err := createGroup(dir, record{Key: key, Hash: "h", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.id()) != idLength {
		t.Errorf("the name %s has not %d bytes", g.id(), idLength)
	}
	info, err := os.Stat(g.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder mode %v, %v", info.Mode(), err)
	}
	list, err := groups(dir, &key)
	if err != nil || len(list) != 1 || !list[0].alive() || list[0].Hash != "h" || list[0].wasReady() || list[0].leaving() {
		t.Fatalf("found %+v, %v", list, err)
	}
	lock.Close()
	if g.alive() {
		t.Error("alive without its lock")
	}
	// Those who ask must not take each other for a supervisor.
	asking, err := g.openLock()
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	if err := syscall.Flock(int(asking.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if g.alive() {
		t.Error("alive because somebody asks")
	}
}

// TestRemovedLockIsHeld looks at the last moments of a supervisor, when the folder is gone and the process is not.
func TestRemovedLockIsHeld(t *testing.T) {
	g, lock, err := createGroup(t.TempDir(), record{Key: deploy.Key{Server: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := g.openLock()
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if err := os.RemoveAll(g.dir); err != nil {
		t.Fatal(err)
	}
	if !held(waiting) {
		t.Error("the supervisor passes for dead while it ends")
	}
	lock.Close()
	if held(waiting) {
		t.Error("the supervisor passes for alive after its end")
	}
}

func TestGroupsOfOthersAreNotFound(t *testing.T) {
	dir := t.TempDir()
	key := deploy.Key{Server: "a"}
	for _, k := range []deploy.Key{key, {Server: "b"}, {Server: "a", Owner: &deploy.Owner{Issuer: "i", Subject: "s"}}} {
		_, lock, err := createGroup(dir, record{Key: k})
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
	}
	// A name that begins like ours, as a collision of the short hash would: the record decides.
	twin := filepath.Join(dir, keyPrefix(key)+"00000000")
	if err := os.Mkdir(twin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(filepath.Join(twin, fileRecord), record{Key: deploy.Key{Server: "c"}}); err != nil {
		t.Fatal(err)
	}
	if list, err := groups(dir, &key); err != nil || len(list) != 1 || list[0].Key.ID() != key.ID() {
		t.Errorf("found %+v, %v", list, err)
	}
	if list, err := groups(dir, nil); err != nil || len(list) != 4 {
		t.Errorf("of all, found %+v, %v", list, err)
	}
	if _, err := groups(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("no error without the folder")
	}
}

// privateTree reports everything in a folder that others may read, and every file that holds one of the words.
func privateTree(t *testing.T, dir string, words ...string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && info.Mode().Type() != fs.ModeSocket {
			t.Errorf("%s may be read by others: %v", path, info.Mode())
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for _, word := range words {
			if strings.Contains(string(text), word) {
				t.Errorf("%s holds %q", path, word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
