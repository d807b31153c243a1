package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
	"mcpgateway/internal/deploy/process"
	"mcpgateway/internal/logtest"
)

// asDeployer has the test binary be the deployer.
const asDeployer = "TEST_AS_DEPLOYER"

// TestMain runs the programs that tests start, all of which are this test binary.
func TestMain(m *testing.M) {
	deploytest.Main()
	switch {
	case len(os.Args) == 2 && os.Args[1] == supervise:
		deploytest.Exit(process.Supervise())
	case os.Getenv(asDeployer) != "":
		main()
		deploytest.Exit(0)
	}
	os.Exit(m.Run())
}

// site is a folder with files for a deployer that runs as a program.
type site struct {
	t   *testing.T
	dir string
	log logtest.Log
}

// newSite makes one with a short path, as sockets need.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the deployer's log:\n%s", s.log.String())
		}
		os.RemoveAll(dir)
	})
	s.write("platform.yaml", "apiVersion: v1\npublicURL: http://127.0.0.1:8080\nissuers: [{url: \"http://127.0.0.1:9\", audiences: [\"{resource}\"], default: true}]\ndeployer: {state: s}\n")
	s.catalog(s.server("one"), s.server("two"))
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// server is a catalog entry for the test server.
func (s *site) server(id string, args ...string) string {
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	args = append([]string{deploytest.Program, "-port", "{port}"}, args...)
	return fmt.Sprintf("  - {id: %s, scale: {idle: 1h}, runtime: {command: {exec: %q, args: [%s], http: {}}}}\n", id, self, `"`+strings.Join(args, `", "`)+`"`)
}

func (s *site) catalog(servers ...string) {
	s.t.Helper()
	s.write("catalog.yaml", "apiVersion: v1\nservers:\n"+strings.Join(servers, "")+"policies:\n  - {name: all, allow: {anyone: true}, servers: [\"*\"]}\n")
}

// program is a deployer.
type program struct {
	*exec.Cmd
	client *deploy.Client
	ended  chan error
}

// start starts a deployer and waits until it answers.
func (s *site) start() *program {
	s.t.Helper()
	return s.startLogging(&s.log)
}

func (s *site) startLogging(log io.Writer) *program {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(self), client: deploy.NewClient(filepath.Join(s.dir, "s", "deployer.sock")), ended: make(chan error, 1)}
	p.Env = append(os.Environ(), asDeployer+"=1", "PLATFORM="+filepath.Join(s.dir, "platform.yaml"), "SHIM="+self)
	p.Stderr = log
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	s.t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(30 * time.Second):
			p.Process.Kill()
		}
	})
	s.eventually("the deployer answers", func() bool { _, err := p.client.Status(context.Background()); return err == nil })
	return p
}

func (s *site) eventually(what string, cond func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

func (s *site) ensure(p *program, server string) deploy.Instance {
	s.t.Helper()
	instance, err := p.client.Ensure(context.Background(), deploy.Key{Server: server})
	if err != nil {
		s.t.Fatalf("ensure %s: %v", server, err)
	}
	return instance
}

// end waits for the end of a deployer that was sent a signal.
func (s *site) end(p *program) error {
	s.t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(30 * time.Second):
		s.t.Fatal("the deployer does not end")
		return nil
	}
}

// up lists the servers of which an instance is up.
func (s *site) up(p *program) string {
	s.t.Helper()
	list, err := p.client.Status(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	var ids []string
	for _, i := range list {
		ids = append(ids, i.Key.Server+" "+i.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

func TestKilledAndStopped(t *testing.T) {
	s := newSite(t)
	first := s.start()
	one, two := s.ensure(first, "one"), s.ensure(first, "two")
	first.Process.Kill()
	s.end(first)
	second := s.start()
	if got, want := s.up(second), "one "+one.ID+", two "+two.ID; got != want {
		t.Errorf("up is %s, want %s", got, want)
	}
	if again := s.ensure(second, "one"); again.ID != one.ID || again.Cold {
		t.Errorf("%+v after %+v", again, one)
	}
	second.Process.Signal(syscall.SIGTERM)
	if err := s.end(second); err != nil {
		t.Errorf("ended with %v", err)
	}
	for _, i := range []deploy.Instance{one, two} {
		if status, err := deploytest.Call(context.Background(), i, "one", "", deploytest.ToolDescribe, nil, nil); err == nil {
			t.Errorf("%+v answers %d", i, status)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(s.dir, "s", "i")); err != nil || len(entries) > 0 {
		t.Errorf("left is %v, %v", entries, err)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "s", "deployer.sock")); err == nil {
		t.Error("the socket is left")
	}
}

// TestHurry has a server that does not want to end, and a user who does not want to wait.
func TestHurry(t *testing.T) {
	s := newSite(t)
	s.catalog(s.server("one", "-stubborn"))
	p := s.start()
	s.ensure(p, "one")
	began := time.Now()
	p.Process.Signal(syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond)
	p.Process.Signal(syscall.SIGHUP)
	p.Process.Signal(syscall.SIGINT)
	if err := s.end(p); err != nil {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	if entries, err := os.ReadDir(filepath.Join(s.dir, "s", "i")); err != nil || len(entries) > 0 {
		t.Errorf("left is %v, %v", entries, err)
	}
}

// TestNobodyReadsTheLog kills whoever started the deployer: it is told to stop, and its log leads nowhere.
func TestNobodyReadsTheLog(t *testing.T) {
	s := newSite(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := s.startLogging(w)
	w.Close()
	s.ensure(p, "one")
	s.ensure(p, "two")
	r.Close()
	p.Process.Signal(syscall.SIGTERM)
	if err := s.end(p); err != nil {
		t.Errorf("ended with %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(s.dir, "s", "i")); err != nil || len(entries) > 0 {
		t.Errorf("left is %v, %v", entries, err)
	}
}

func TestHangupReadsTheFilesAgain(t *testing.T) {
	s := newSite(t)
	p := s.start()
	one, two := s.ensure(p, "one"), s.ensure(p, "two")
	s.catalog(s.server("one"), s.server("three"))
	p.Process.Signal(syscall.SIGHUP)
	s.eventually("only one is left", func() bool { return s.up(p) == "one "+one.ID })
	if _, err := p.client.Ensure(context.Background(), deploy.Key{Server: "two"}); deploy.AsStartError(err).Code != deploy.CodeUnknown {
		t.Errorf("what was %+v is now %v", two, err)
	}
	s.ensure(p, "three")
	s.catalog(strings.Replace(s.server("one"), "idle: 1h", "idle: 2h", 1), s.server("three"))
	p.Process.Signal(syscall.SIGHUP)
	s.eventually("one is retired", func() bool { return !strings.Contains(s.up(p), one.ID) })
	if again := s.ensure(p, "one"); again.ID == one.ID || !again.Cold {
		t.Errorf("%+v after %+v", again, one)
	}
}

func TestPrivate(t *testing.T) {
	s := newSite(t)
	p := s.start()
	s.ensure(p, "one")
	for path, want := range map[string]os.FileMode{"s": 0o700, "s/deployer.sock": 0o600, "s/rules.key": 0o600, "s/rules/one": 0o600, "s/logs": 0o700} {
		info, err := os.Lstat(filepath.Join(s.dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

// TestRunRefuses starts no child: run itself says what is wrong.
func TestRunRefuses(t *testing.T) {
	s := newSite(t)
	s.start()
	for name, c := range map[string]struct {
		platform, shim, want string
	}{
		"no platform":     {"", os.Args[0], "PLATFORM is not set"},
		"missing":         {filepath.Join(s.dir, "none.yaml"), os.Args[0], "none.yaml"},
		"no shim":         {filepath.Join(s.dir, "platform.yaml"), filepath.Join(s.dir, "none"), "SHIM names another file"},
		"state in use":    {filepath.Join(s.dir, "platform.yaml"), os.Args[0], "another deployer's"},
		"socket in use":   {s.platform("socket", "deployer: {state: t, socket: s/deployer.sock}"), os.Args[0], "another program serves"},
		"socket in a way": {s.platform("way", "deployer: {state: u, socket: catalog.yaml}"), os.Args[0], "is no socket"},
		"broken key":      {s.platform("key", "deployer: {state: v}"), os.Args[0], "instead of 32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PLATFORM", c.platform)
			t.Setenv("SHIM", c.shim)
			if name == "broken key" {
				if err := os.Mkdir(filepath.Join(s.dir, "v"), 0o700); err != nil {
					t.Fatal(err)
				}
				s.write("v/rules.key", "short")
			}
			err := run(make(chan os.Signal), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// platform writes another platform file, with a deployer section of its own.
func (s *site) platform(name, section string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "platform.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".yaml", strings.Replace(string(text), "deployer: {state: s}", section, 1))
	return filepath.Join(s.dir, name+".yaml")
}
