package unitlog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestLogFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := &File{path: path, maxBytes: 100, kept: 2}
	defer l.Close()
	line := []byte("0123456789012345678901234567890123456789012345678\n") // 50 bytes: two fill a file
	for range 9 {
		if err := l.WriteLine(line); err != nil {
			t.Fatal(err)
		}
	}
	older, err := l.older()
	if err != nil {
		t.Fatal(err)
	}
	if len(older) != 2 || older[3] == "" || older[4] == "" {
		t.Errorf("kept %v, want numbers 3 and 4: four files were filled", older)
	}
	for _, p := range append([]string{path}, older[3], older[4]) {
		data, err := os.ReadFile(p)
		want := 100
		if p == path {
			want = 50
		}
		if err != nil || len(data) != want {
			t.Errorf("%s has %d bytes (%v), want %d", p, len(data), err, want)
		}
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s may be read by others", p)
		}
	}
}

// TestLogFileIsShared has several writers, as instances of one server do, and loses no line to rotation.
func TestLogFileIsShared(t *testing.T) {
	const writers, lines = 4, 200
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			l := &File{path: path, maxBytes: 1000, kept: 1000}
			defer l.Close()
			for i := range lines {
				if err := l.WriteLine(fmt.Appendf(nil, "writer %d line %d\n", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files (%v): nothing was rotated", len(files), err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			seen[string(line)] = true
		}
	}
	if len(seen) != writers*lines {
		t.Errorf("%d different lines, want %d", len(seen), writers*lines)
	}
}

func TestLogFileOfOthersIsKept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"audit.jsonl.old", "audit.jsonl.1.gz", "server.log.1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := &File{path: filepath.Join(dir, "audit.jsonl"), maxBytes: 1, kept: 1}
	defer l.Close()
	for range 3 {
		if err := l.WriteLine([]byte("x\n")); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := os.ReadDir(dir)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if got, want := fmt.Sprint(names), "[.rotate audit.jsonl audit.jsonl.1.gz audit.jsonl.2 audit.jsonl.old server.log.1]"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}
