package main

import (
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// planted has for each bug the target that must find it, the file, and a text of it with what replaces it, a line each;
// bugs stand apart by empty lines.
//
//go:embed planted.txt
var planted string

// bug is a change of one place.
type bug struct{ target, file, old, new string }

func (b bug) String() string { return fmt.Sprintf("%s: %q instead of %q", b.file, b.new, b.old) }

func parse(text string) (bugs []bug, err error) {
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(block, "\n")
		if len(lines) != 4 || !strings.HasPrefix(lines[2], "- ") || !strings.HasPrefix(lines[3], "+ ") {
			return nil, fmt.Errorf("not a bug: %q", block)
		}
		bugs = append(bugs, bug{lines[0], lines[1], lines[2][2:], lines[3][2:]})
	}
	return bugs, nil
}

// plant changes the file below dir. The text must stand there once, so that it is known what was changed.
func (b bug) plant(dir string) (repair func(), err error) {
	name := filepath.Join(dir, b.file)
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), b.old); n != 1 {
		return nil, fmt.Errorf("%s: %q stands there %d times", b.file, b.old, n)
	}
	changed := strings.Replace(string(text), b.old, b.new, 1)
	return func() { _ = os.WriteFile(name, text, 0o600) }, os.WriteFile(name, []byte(changed), 0o600)
}

var function = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// targets lists the fuzz functions below root, as "package FuzzName". Those of fuzzreport are text of its own test.
func targets(root string) (all []string, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") || strings.Contains(name, "fuzzreport") {
			return err
		}
		source, err := os.ReadFile(name)
		relative, _ := filepath.Rel(root, name) // below it
		for _, m := range function.FindAllStringSubmatch(string(source), -1) {
			all = append(all, path.Dir(filepath.ToSlash(relative))+" "+m[1])
		}
		return err
	})
	return all, err
}

// unmatched lists the targets that have no bug, and the bugs whose target is gone.
func unmatched(targets []string, bugs []bug) (unplanted, gone []string) {
	for _, target := range targets {
		if !slices.ContainsFunc(bugs, func(b bug) bool { return b.target == target }) {
			unplanted = append(unplanted, target)
		}
	}
	for _, b := range bugs {
		if !slices.Contains(targets, b.target) {
			gone = append(gone, b.target)
		}
	}
	return unplanted, gone
}
