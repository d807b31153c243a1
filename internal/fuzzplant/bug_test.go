package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A bug that can no longer be planted proves nothing any more.
func TestBugsCanBePlanted(t *testing.T) {
	const root = "../.."
	bugs, err := parse(planted)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs {
		text, err := os.ReadFile(filepath.Join(root, b.file))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file := filepath.Join(dir, b.file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		repair, err := b.plant(dir)
		if err != nil {
			t.Errorf("%s: %v", b.target, err)
			continue
		}
		if changed, _ := os.ReadFile(file); string(changed) == string(text) {
			t.Errorf("%s: nothing is planted", b.target)
		}
		repair()
		if again, _ := os.ReadFile(file); string(again) != string(text) {
			t.Errorf("%s: not repaired", b.target)
		}
	}
}

// No target is forgotten, a new one least of all: what was never seen to find anything may find nothing.
func TestEveryTargetHasABug(t *testing.T) {
	bugs, err := parse(planted)
	if err != nil {
		t.Fatal(err)
	}
	all, err := targets("../..")
	if err != nil || len(all) < 40 {
		t.Fatalf("%d targets, %v", len(all), err)
	}
	if unplanted, gone := unmatched(all, bugs); len(unplanted)+len(gone) > 0 {
		t.Errorf("targets without a bug in planted.txt: %q; bugs without their target: %q", unplanted, gone)
	}
}

func TestParseRefuses(t *testing.T) {
	if _, err := parse("a B\nfile\n- x\n"); err == nil {
		t.Error("half a bug was taken")
	}
}
