package process

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
	"mcpgateway/internal/deploy/packages/packagestest"
)

// describer is a package whose program describes itself, over stdio, as the test server does.
var describer = map[string]string{
	"package.json": `{"name":"@test/describer","version":"1.2.3","bin":{"describe":"main.js"}}`,
	"main.js": `#!/usr/bin/env node
require('readline').createInterface({input: process.stdin}).on('line', line => {
  const self = {pid: process.pid, arguments: process.argv, environment: Object.entries(process.env).map(e => e.join('='))}
  console.log(JSON.stringify({jsonrpc: '2.0', id: JSON.parse(line).id, result: {content: [], structuredContent: self}}))
})
`,
}

const describerName = "@test/describer@1.2.3"

// npx has an entry run a package of npm.
func npx(name string, args ...string) func(*catalog.Server) {
	return func(s *catalog.Server) {
		s.Runtime = catalog.Runtime{NPX: &catalog.Package{Package: name, Args: args}}
		s.Stdio = &catalog.Stdio{Child: "session", Max: 8}
	}
}

func TestCommandOverStdio(t *testing.T) {
	p := newPlace(t)
	l := p.lone("a", func(s *catalog.Server) {
		s.Runtime = catalog.Runtime{Command: &catalog.Command{Exec: self(t), Args: []string{deploytest.Program, "-stdio"}}}
		s.Stdio = &catalog.Stdio{Child: "shared", Max: 3}
		s.Env = []catalog.EnvVar{{Name: "LEVEL", Value: "info"}}
	})
	var d deploytest.Description
	if status, err := l.call(deploytest.ToolDescribe, nil, &d); err != nil || status != 200 {
		t.Fatalf("status %d, %v", status, err)
	}
	if !slices.Contains(d.Environment, "LEVEL=info") || !slices.Equal(d.Arguments[1:], []string{deploytest.Program, "-stdio"}) {
		t.Errorf("the server is %+v", d)
	}
	bridge := strings.Join(environ(p.record(l.instance).Groups["server"]), " ")
	if bridge != "" && (!strings.Contains(bridge, "SHIM_CHILD=shared") || !strings.Contains(bridge, "SHIM_CHILD_MAX=3")) {
		t.Errorf("the bridge has %s", bridge)
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	p := newPlace(t)
	l := p.planned("a", func(s *catalog.Server) {
		s.Runtime = catalog.Runtime{Command: &catalog.Command{Exec: "no-such-program"}}
	})
	_, err := p.deployer.Ensure(context.Background(), l.plan)
	if got := deploy.AsStartError(err); got.Code != deploy.CodeUnavailable || got.RetryAfter <= 0 {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(p.log.String(), "no-such-program") {
		t.Errorf("the log does not name it:\n%s", p.log)
	}
}

func TestPackage(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("@test/describer", "1.2.3", describer)
	p := newPlace(t)
	l := p.lone("a", npx(describerName, "--flag", "{json}"))
	var d deploytest.Description
	if status, err := l.call(deploytest.ToolDescribe, nil, &d); err != nil || status != 200 {
		t.Fatalf("status %d, %v", status, err)
	}
	if got := d.Arguments; len(got) != 4 || !strings.HasPrefix(got[1], p.config.packages()) || got[2] != "--flag" || got[3] != "{json}" {
		t.Errorf("the server is %q", got)
	}
	for _, v := range d.Environment {
		if strings.HasPrefix(v, "npm_config") || strings.HasPrefix(v, "SHIM_") {
			t.Errorf("the server has %s", v)
		}
	}
	for _, want := range []string{"installing package", "server=a", "npm http fetch GET 200", "package installed"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, p.log)
		}
	}
	asked := registry.Asked("@test/describer")
	if err := p.deployer.Remove(context.Background(), l.plan.Key()); err != nil {
		t.Fatal(err)
	}
	registry.Hold() // a second start must not need it
	if again, err := p.deployer.Ensure(context.Background(), l.plan); err != nil || !again.Cold {
		t.Errorf("the second start: %+v, %v", again, err)
	}
	if registry.Asked("@test/describer") != asked {
		t.Error("the registry was asked for the second start")
	}
}

func TestPackageThatIsNotThere(t *testing.T) {
	packagestest.NewRegistry(t)
	p := newPlace(t)
	l := p.planned("a", npx("@test/nothing@1.2.3"))
	_, err := p.deployer.Ensure(context.Background(), l.plan)
	got := deploy.AsStartError(err)
	if got.Code != deploy.CodeUnavailable || got.RetryAfter <= 0 || !strings.HasPrefix(got.Message, "The package @test/nothing@1.2.3 cannot be installed: npm says E404") {
		t.Errorf("got %+v", got)
	}
	if list, err := p.deployer.List(context.Background()); err != nil || len(list) > 0 {
		t.Errorf("up are %v, %v", list, err)
	}
}

// TestStillInstalling has a registry that is slow: a wake waits as long as a start may take, and the install goes on.
func TestStillInstalling(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("@test/describer", "1.2.3", describer)
	release := registry.Hold()
	p := newPlace(t)
	l := p.planned("a", npx(describerName))
	l.plan.Startup = 200 * time.Millisecond
	began := time.Now()
	_, err := p.deployer.Ensure(context.Background(), l.plan)
	got := deploy.AsStartError(err)
	if got.Code != deploy.CodeUnavailable || got.RetryAfter <= 0 || got.Message != "The package "+describerName+" is still being installed, try again." {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(began); took < l.plan.Startup {
		t.Errorf("it waited %v only", took)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.deployer.Ensure(ctx, l.plan); err != context.Canceled {
		t.Errorf("a caller who left got %v", err)
	}
	release()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(p.log.String(), "package installed"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the install did not go on")
		}
	}
	l.plan.Startup = 30 * time.Second
	if _, err := p.deployer.Ensure(context.Background(), l.plan); err != nil {
		t.Error(err)
	}
}

// TestStopEndsInstalls leaves the rest to newPlace, which looks for processes and files.
func TestStopEndsInstalls(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Hold()
	p := newPlace(t)
	l := p.planned("a", npx(describerName))
	ended := make(chan error, 1)
	go func() { _, err := p.deployer.Ensure(context.Background(), l.plan); ended <- err }()
	for registry.Asked("@test/describer") == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if err := p.deployer.StopAll(context.Background()); err != nil {
		t.Error(err)
	}
	if got := deploy.AsStartError(<-ended); got.Message != "The gateway is shutting down." {
		t.Errorf("the caller got %+v", got)
	}
	if left, err := filepath.Glob(filepath.Join(p.config.packages(), ".*~*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestPrepareKeepsWhatRuns takes a package out of the catalog while its server runs.
func TestPrepareKeepsWhatRuns(t *testing.T) {
	registry := packagestest.NewRegistry(t)
	registry.Publish("@test/describer", "1.2.3", describer)
	p := newPlace(t)
	need := deploy.Need{Server: "a", Package: deploy.Package{Registry: deploy.RegistryNPM, Name: describerName}}
	if err := p.deployer.Prepare(context.Background(), []deploy.Need{need}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, ok := p.deployer.packages.Installed(need.Package); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not installed before anybody calls")
		}
	}
	registry.Hold()
	l := p.lone("a", npx(describerName))
	gone := func() bool {
		records, err := filepath.Glob(filepath.Join(p.config.packages(), "*.json"))
		if err != nil || len(records) > 1 {
			t.Fatal(records, err)
		}
		if len(records) == 0 {
			return true
		}
		long := time.Now().Add(-48 * time.Hour)
		if err := os.Chtimes(records[0], long, long); err != nil {
			t.Fatal(err)
		}
		if err := p.deployer.Prepare(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(records[0])
		return err != nil
	}
	if gone() {
		t.Fatal("what runs was removed")
	}
	if err := p.deployer.Remove(context.Background(), l.plan.Key()); err != nil {
		t.Fatal(err)
	}
	if !gone() {
		t.Error("what nobody needs is kept")
	}
}
