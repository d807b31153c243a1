package packages

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

func (s *Store) recordOf(p deploy.Package) string { return s.path(baseName(p) + recordSuffix) }

// aged has a package be unused for that long.
func aged(t *testing.T, s *Store, p deploy.Package, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(s.recordOf(p), then, then); err != nil {
		t.Fatal(err)
	}
}

func installed(t *testing.T, s *Store, name string) deploy.Package {
	t.Helper()
	p := npmPackage(name)
	if _, err := s.Program(context.Background(), "x", p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestInstalled(t *testing.T) {
	fakeNPM(t, fakeInstall)
	s, _ := newStore(t, nil)
	p := installed(t, s, "a@1.2.3")
	good, err := os.ReadFile(s.recordOf(p))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(s.recordOf(installed(t, s, "a@1.2.4")))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.path("outside/node_modules/.bin/a"), "")
	write(t, s.path("outside/x"), "")
	var r record
	if err := json.Unmarshal(good, &r); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "{", "{}", string(other), strings.Replace(string(good), r.Folder, "outside", 1), strings.Replace(string(good), r.Folder, r.Folder+"/../outside", 1),
		strings.Replace(string(good), "node_modules/.bin/a", "../outside/x", 1), strings.Replace(string(good), "node_modules/.bin/a", "node_modules", 1),
	} {
		write(t, s.recordOf(p), text)
		if program, ok := s.Installed(p); ok {
			t.Errorf("%s gave %s", text, program)
		}
	}
	if err := os.RemoveAll(s.path("outside")); err != nil {
		t.Fatal(err)
	}
	write(t, s.recordOf(p), string(good))
	aged(t, s, p, 48*time.Hour)
	program, ok := s.Installed(p)
	if !ok {
		t.Error("it is not installed any more")
	}
	if info, err := os.Stat(s.recordOf(p)); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Error("its use is not noted")
	}
	// Somebody cleans up, and it comes back.
	if err := os.RemoveAll(filepath.Dir(program)); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Installed(p); ok {
		t.Error("it is installed without its program")
	}
	if again := installed(t, s, "a@1.2.3"); again != p {
		t.Error("it is another")
	}
	if err := s.Prune([]deploy.Package{p}); err != nil {
		t.Fatal(err)
	}
	if list := folders(t, s); len(list) != 2 {
		t.Errorf("left are %v", list) // the other was used a moment ago
	}
}

func TestPrune(t *testing.T) {
	fakeNPM(t, fakeInstall)
	s, log := newStore(t, nil)
	kept, used, unused, busy := installed(t, s, "a@1.0.0"), installed(t, s, "a@2.0.0"), installed(t, s, "a@3.0.0"), installed(t, s, "a@4.0.0")
	for _, p := range []deploy.Package{kept, unused, busy} {
		aged(t, s, p, 25*time.Hour)
	}
	aged(t, s, used, 23*time.Hour)
	write(t, s.path(hiddenName(unused)+"1/x"), "")                      // what a killed install left
	write(t, s.path(hiddenName(npmPackage("never@1.0.0"))+"1/x"), "")   // of a package that never was complete
	write(t, s.path(hiddenName(npmPackage("filling@1.0.0"))+"1/x"), "") // and what somebody is at
	write(t, s.recordOf(npmPackage("broken@1.0.0")), "{")
	write(t, s.path("notes.txt"), "not ours")
	for _, p := range []deploy.Package{busy, npmPackage("filling@1.0.0")} {
		lock, err := s.tryLock(baseName(p))
		if lock == nil || err != nil {
			t.Fatal("no lock", err)
		}
		defer lock.Close()
	}
	s.failures[npmPackage("gone@1.0.0")], s.failures[kept] = &failure{}, &failure{}
	if err := s.Prune([]deploy.Package{kept, npmPackage("filling@1.0.0")}); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[deploy.Package]bool{kept: true, used: true, unused: false, busy: true} {
		if _, ok := s.Installed(p); ok != want {
			t.Errorf("%s is installed: %v", p.Name, ok)
		}
	}
	if list := folders(t, s); len(list) != 4 || !strings.Contains(strings.Join(list, " "), "filling") {
		t.Errorf("left are %v", list)
	}
	if _, err := os.Stat(s.path("notes.txt")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.recordOf(npmPackage("broken@1.0.0"))); err == nil {
		t.Error("a broken record is left")
	}
	if len(s.failures) != 1 || s.failures[kept] == nil {
		t.Errorf("failures are %v", s.failures)
	}
	if !strings.Contains(log.String(), `"package removed, since nobody needs it" package=a@3.0.0`) {
		t.Errorf("the log does not say it:\n%s", log)
	}
}

func TestNamesTellPackagesApart(t *testing.T) {
	seen := map[string]string{}
	for _, p := range []deploy.Package{
		npmPackage("@a/b@1.0.0"), npmPackage("a_b@1.0.0"), npmPackage("@a_b@1.0.0"), {Registry: "pypi", Name: "a_b@1.0.0"},
		npmPackage(strings.Repeat("a", 300) + "@1.0.0"), npmPackage(strings.Repeat("a", 300) + "@1.0.1"),
	} {
		name := baseName(p)
		if seen[name] != "" || len(name) > 100 || strings.ContainsAny(name, "/~ ") {
			t.Errorf("%s is the name of %s and %q", name, p.Name, seen[name])
		}
		seen[name] = p.Name
	}
}
