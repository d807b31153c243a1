package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"mcpgateway/internal/store"
	"mcpgateway/internal/store/storetest"
)

func open(t *testing.T, path string, clock *storetest.Clock) *Store {
	t.Helper()
	s, err := Open(path, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	clock := storetest.NewClock()
	storetest.Run(t, open(t, filepath.Join(t.TempDir(), "oauth.db"), clock), clock)
}

func TestOutlivesRestart(t *testing.T) {
	path, clock, k := filepath.Join(t.TempDir(), "oauth.db"), storetest.NewClock(), store.Key{Part: "a", Sort: "b"}
	s := open(t, path, clock)
	if _, err := s.Put(t.Context(), store.Item{Key: k, Value: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got, err := open(t, path, clock).Get(t.Context(), k); err != nil || string(got.Value) != "kept" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOneProcess(t *testing.T) {
	path, clock := filepath.Join(t.TempDir(), "oauth.db"), storetest.NewClock()
	open(t, path, clock)
	if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
}

func TestSweep(t *testing.T) {
	clock := storetest.NewClock()
	s := open(t, filepath.Join(t.TempDir(), "oauth.db"), clock)
	for sort, expires := range map[string]time.Time{"kept": {}, "later": clock.Now().Add(time.Hour), "gone": clock.Now().Add(time.Minute)} {
		if _, err := s.Put(t.Context(), store.Item{Key: store.Key{Part: "p", Sort: sort}, Expires: expires}); err != nil {
			t.Fatal(err)
		}
	}
	clock.Pass(time.Minute)
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	if err := s.db.View(func(tx *bolt.Tx) error { rows = tx.Bucket(bucket).Stats().KeyN; return nil }); err != nil || rows != 2 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
}

func TestListIsBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "oauth.db"), storetest.NewClock())
	s.db.NoSync = true // it writes a thousand times
	for n := range store.MaxList + 1 {
		if _, err := s.Put(t.Context(), store.Item{Key: store.Key{Part: "p", Sort: fmt.Sprintf("%04d", n)}}); err != nil {
			t.Fatal(err)
		}
	}
	items, err := s.List(t.Context(), "p")
	if err != nil || len(items) != store.MaxList || items[0].Sort != "0000" {
		t.Errorf("%d items, %v", len(items), err)
	}
}
