package packages

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/logtest"
)

// newStore makes one whose failures are not forgotten during a test.
func newStore(t *testing.T, change func(*Config)) (*Store, *logtest.Log) {
	t.Helper()
	log := &logtest.Log{}
	c := Config{Folder: filepath.Join(t.TempDir(), "packages"), Backoff: time.Minute, Logger: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&c)
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if t.Failed() {
			t.Logf("the log:\n%s", log)
		}
	})
	return s, log
}

// folders lists where packages are, complete or not.
func folders(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.config.Folder)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() {
			list = append(list, e.Name())
		}
	}
	return list
}

// processesOf lists the processes that work in a store's folder.
func processesOf(s *Store) []string {
	var list []string
	paths, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, path := range paths {
		if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, s.config.Folder) {
			list = append(list, filepath.Base(filepath.Dir(path)))
		}
	}
	return list
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// fakeNPM puts a script in the place of npm, which does what no npm would do in a test. Each run adds a line to the
// file that is returned; $3 is the folder.
func fakeNPM(t *testing.T, script string) (runs string) {
	t.Helper()
	dir := t.TempDir()
	runs = filepath.Join(dir, "runs")
	write(t, runs, "")
	write(t, filepath.Join(dir, "npm"), "#!/bin/sh\necho run >> "+runs+"\n"+script+"\n")
	write(t, filepath.Join(dir, "node"), "#!/bin/sh\n")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return runs
}

func countRuns(t *testing.T, runs string) int {
	t.Helper()
	text, err := os.ReadFile(runs)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// fakeInstall is a script that installs package a.
const fakeInstall = `mkdir -p "$3/node_modules/a" "$3/node_modules/.bin"
echo '{"bin":"a.js"}' > "$3/node_modules/a/package.json"
touch "$3/node_modules/a/a.js"
ln -s ../a/a.js "$3/node_modules/.bin/a"`

func TestFailuresAreNotRepeatedAtOnce(t *testing.T) {
	runs := fakeNPM(t, "echo npm error code E404; exit 1")
	s, log := newStore(t, nil)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3"))
			if got := deploy.AsStartError(err); !strings.Contains(got.Message, "npm says E404") || got.RetryAfter <= 0 || got.RetryAfter > time.Minute {
				t.Errorf("got %+v", got)
			}
		})
	}
	wg.Wait()
	if n := countRuns(t, runs); n != 1 {
		t.Errorf("%d runs", n)
	}
	if n := strings.Count(log.String(), "package not installed"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestPausesGrow(t *testing.T) {
	fakeNPM(t, "exit 1")
	s, _ := newStore(t, func(c *Config) { c.Backoff = 20 * time.Millisecond })
	p := npmPackage("a@1.2.3")
	var pauses []time.Duration
	for deadline := time.Now().Add(30 * time.Second); len(pauses) < 4 && time.Now().Before(deadline); {
		_, err := s.Program(context.Background(), "a", p)
		if pause := deploy.AsStartError(err).RetryAfter; len(pauses) == 0 || pause > pauses[len(pauses)-1] {
			pauses = append(pauses, pause)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if len(pauses) != 4 {
		t.Fatalf("the pauses are %v", pauses)
	}
	for i, pause := range pauses {
		if want := 20 * time.Millisecond << i; pause != want {
			t.Errorf("pause %d is %v, want %v", i, pause, want)
		}
	}
	s.mu.Lock()
	s.failures[p].count, s.failures[p].until = 50, time.Time{}
	s.mu.Unlock()
	s.config.Backoff = time.Minute
	_, err := s.Program(context.Background(), "a", p)
	if pause := deploy.AsStartError(err).RetryAfter; pause != maxPause {
		t.Errorf("the pause is %v after 50 failures", pause)
	}
}

func TestAnInstallThatComesRightIsForgiven(t *testing.T) {
	dir := t.TempDir()
	fakeNPM(t, "test -e "+dir+"/ok || exit 1\n"+fakeInstall)
	s, _ := newStore(t, func(c *Config) { c.Backoff = time.Millisecond })
	if _, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3")); err == nil {
		t.Fatal("installed by nobody")
	}
	write(t, dir+"/ok", "")
	eventually(t, "it is installed", func() bool {
		_, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3"))
		return err == nil
	})
	if len(s.failures) != 0 {
		t.Errorf("failures are kept: %v", s.failures)
	}
}

// TestLimit has an install that does not end, ignores SIGTERM, and has a child.
func TestLimit(t *testing.T) {
	fakeNPM(t, "trap '' TERM INT\n(trap '' TERM INT; sleep 300) &\nsleep 300")
	s, _ := newStore(t, func(c *Config) { c.Limit = 300 * time.Millisecond })
	_, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3"))
	if got := deploy.AsStartError(err).Message; got != "The package a@1.2.3 cannot be installed: it took longer than 300ms." {
		t.Errorf("got %q", got)
	}
	eventually(t, "its processes are gone", func() bool { return len(processesOf(s)) == 0 })
}

// TestChildrenLeftBehind has an install that ends before its child does.
func TestChildrenLeftBehind(t *testing.T) {
	fakeNPM(t, fakeInstall+"\nsleep 300 &")
	s, _ := newStore(t, nil)
	if _, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its child is gone", func() bool { return len(processesOf(s)) == 0 })
}

// TestOutputIsBounded has an install that prints more lines than anybody wants, and one line without an end.
func TestOutputIsBounded(t *testing.T) {
	fakeNPM(t, fakeInstall+"\nyes '' | head -c 5000000 | tr '\\n' 'x'\necho\nyes hello | head -n 10000\nprintf last")
	s, log := newStore(t, nil)
	if _, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3")); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "msg=installing "); n != maxPrinted+1 {
		t.Errorf("%d lines are logged", n)
	}
	if len(log.String()) > 1<<20 || !strings.Contains(log.String(), strings.Repeat("x", maxLine)) || strings.Contains(log.String(), strings.Repeat("x", maxLine+1)) {
		t.Errorf("the log has %d bytes", len(log.String()))
	}
}

// TestLineWithoutEnd holds no more of a line than is shown of it.
func TestLineWithoutEnd(t *testing.T) {
	o := &output{print: func(string) {}}
	for range 100 {
		if n, err := o.Write(make([]byte, 32<<10)); n != 32<<10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(o.line) > 2*maxLine {
		t.Errorf("%d bytes are held", len(o.line))
	}
}

// TestInstallsKnowNoSecrets looks at what a script of a package could read.
func TestInstallsKnowNoSecrets(t *testing.T) {
	for name, value := range map[string]string{
		"MCP_TOKEN": "sesame", "AWS_SECRET_ACCESS_KEY": "sesame", "PLATFORM": "sesame", "UV_INDEX": "sesame", "npm_config_color": "always",
		"NPM_CONFIG_STRICT_SSL": "true", "https_proxy": "http://proxy.example", "HOME": "/home/x", "TMPDIR": "",
	} {
		t.Setenv(name, value)
	}
	fakeNPM(t, fakeInstall+`; env > "$3/env"; cat > "$3/input"; ls /proc/self/fd > "$3/descriptors"`)
	s, _ := newStore(t, nil)
	program, err := s.Program(context.Background(), "a", npmPackage("a@1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(filepath.Dir(filepath.Dir(program)))
	env, err := os.ReadFile(filepath.Join(folder, "env"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(env)) {
		name, _, _ := strings.Cut(line, "=")
		if !slices.Contains([]string{"PWD", "OLDPWD", "SHLVL", "_", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "HOME NPM_CONFIG_STRICT_SSL PATH https_proxy npm_config_color" || strings.Contains(string(env), "sesame") {
		t.Errorf("it has %s", got)
	}
	if input, err := os.ReadFile(filepath.Join(folder, "input")); err != nil || len(input) > 0 {
		t.Errorf("it was asked something: %q, %v", input, err)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "descriptors")); err != nil || strings.Contains(string(text), "4") {
		t.Errorf("it has descriptors %q, %v", text, err) // 3 is the listing's own
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s, log := newStore(t, nil)
	for p, want := range map[deploy.Package]string{
		npmPackage("a@1.2.3"):                         "npm is not on the gateway's machine; install Node.js 20 or newer, which brings npm.",
		{Registry: deploy.RegistryPyPI, Name: "a==1"}: "uv is not on the gateway's machine; install uv (docs.astral.sh/uv).",
		{Registry: "cpan", Name: "a"}:                 "the gateway's log says why.",
	} {
		_, err := s.Program(context.Background(), "a", p)
		if got := deploy.AsStartError(err).Message; got != "The package "+p.Name+" cannot be installed: "+want {
			t.Errorf("got %q", got)
		}
	}
	if !strings.Contains(log.String(), "install Node.js") || !strings.Contains(log.String(), "cpan") {
		t.Errorf("the log does not say it:\n%s", log)
	}
}

func TestPrepare(t *testing.T) {
	runs := fakeNPM(t, "case $* in *bad*) exit 1;; *slow*) sleep 300;; esac\n"+fakeInstall)
	s, _ := newStore(t, nil)
	var needs []deploy.Need
	for _, name := range []string{"a@1.0.0", "bad@1.0.0", "a@2.0.0", "a@1.0.0"} {
		needs = append(needs, deploy.Need{Server: "x", Package: npmPackage(name)})
	}
	s.Prepare(needs)
	eventually(t, "the others are installed", func() bool {
		_, one := s.Installed(npmPackage("a@1.0.0"))
		_, two := s.Installed(npmPackage("a@2.0.0"))
		return one && two
	})
	s.Prepare(needs) // as the next reading of the catalog does
	s.Prepare(append(needs, deploy.Need{Server: "y", Package: npmPackage("a@3.0.0")}))
	eventually(t, "the new one is installed", func() bool { _, ok := s.Installed(npmPackage("a@3.0.0")); return ok })
	if n := countRuns(t, runs); n != 4 {
		t.Errorf("%d runs", n)
	}
	// What is installed ahead of time takes one slot, and ends with the store.
	needs = nil
	for i := range 5 {
		needs = append(needs, deploy.Need{Server: "x", Package: npmPackage(fmt.Sprintf("slow@%d.0.0", i))})
	}
	s.Prepare(needs)
	s.Prepare(needs[1:]) // of another reading meanwhile
	eventually(t, "the first slow one begins", func() bool { return countRuns(t, runs) == 5 })
	if _, err := s.Program(context.Background(), "y", npmPackage("a@4.0.0")); err != nil {
		t.Errorf("a caller does not come between: %v", err)
	}
	s.Close()
	if n := countRuns(t, runs); n != 6 {
		t.Errorf("%d runs", n)
	}
	s.Prepare(needs)
	if list := processesOf(s); len(list) > 0 {
		t.Errorf("left are %v", list)
	}
}
