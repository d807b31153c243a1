package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCount(t *testing.T) {
	for name, c := range map[string]struct {
		output, want string
	}{
		"some": {"fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed\n" +
			"fuzz: elapsed: 3s, execs: 100 (33/sec), new interesting: 1 (total: 3)\n" +
			"fuzz: elapsed: 5s, execs: 250 (75/sec), new interesting: 2 (total: 4)\nPASS\n",
			"ok    internal/x FuzzX                              corpus    4 (2 new),       250 runs; 7 taken"},
		"none": {"PASS\n", "FAIL  internal/x FuzzX                              corpus    0 (0 new),         0 runs; 7 taken"},
	} {
		r := result{target: target{importPath: "m/internal/x", name: "FuzzX"}, output: []byte(c.output), notes: "7 taken"}
		r.count()
		if diff := cmp.Diff(c.want, r.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// One target that is sound, and one with a bug that only a fuzzer finds: a module of its own, built and run for real.
func TestCampaign(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod": "module fuzzed\n\ngo 1.26\n",
		"a_test.go": `package a

import "testing"

func FuzzSound(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) {}) }

func FuzzBroken(f *testing.F) {
	f.Add([]byte("seed"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1 && b[0] == 'x' {
			t.Error("found")
		}
	})
}
`} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	// A cache of its own: with what earlier runs found the bug would be found as a seed.
	c := campaign{time: 2 * time.Second, jobs: 1, cache: filepath.Join(dir, "cache")}
	if err := c.run(context.Background(), "FuzzSound"); err != nil {
		t.Errorf("sound: %v", err)
	}
	c.time = time.Minute // ends at the find
	if err := c.run(context.Background(), "FuzzBroken"); err == nil || !strings.Contains(err.Error(), "1 targets failed") {
		t.Errorf("broken: %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "testdata", "fuzz", "FuzzBroken", "*")); len(found) != 1 {
		t.Errorf("the failing input is not kept: %q", found)
	}
	if err := c.run(context.Background(), "FuzzNobody"); err == nil {
		t.Error("no target is no error")
	}
}

// All targets end within the time that there is, and none runs for longer than it is to.
func TestShare(t *testing.T) {
	c := campaign{time: 3 * time.Minute, jobs: 6}
	for within, want := range map[time.Duration]time.Duration{time.Hour: 3 * time.Minute, 20 * time.Minute: 110 * time.Second, time.Minute: time.Second, -time.Minute: time.Second} {
		if got := c.share(60, within); got != want {
			t.Errorf("within %v each runs %v, want %v", within, got, want)
		}
	}
	if got := (&campaign{time: time.Minute}).share(1, time.Hour); got != time.Minute {
		t.Errorf("one target runs %v", got)
	}
}
