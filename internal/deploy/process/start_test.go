package process

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/deploytest"
)

// lone is an instance for tests that look at processes.
type lone struct {
	plan     deploy.Plan
	instance deploy.Instance
	rig      *deploytest.Rig
}

// lone starts the test server, as the entry says after change.
func (p *place) lone(id string, change func(*catalog.Server)) lone {
	p.t.Helper()
	l := p.planned(id, change)
	var err error
	if l.instance, err = p.deployer.Ensure(context.Background(), l.plan); err != nil {
		p.t.Fatalf("%v\n%s", err, p.log)
	}
	return l
}

// planned is one that was not started yet.
func (p *place) planned(id string, change func(*catalog.Server)) lone {
	p.t.Helper()
	l := lone{rig: deploytest.NewRig()}
	s := catalog.Server{
		ID: id, Runtime: p.bench().Runtime(),
		Scale:   catalog.Scale{Idle: catalog.Duration(time.Hour), Max: 1},
		Startup: catalog.Startup{Timeout: catalog.Duration(30 * time.Second)},
	}
	if change != nil {
		change(&s)
	}
	var err error
	if l.plan, err = deploy.MakePlan(s, nil, deploy.Options{RulesKey: l.rig.RulesKey()}); err != nil {
		p.t.Fatal(err)
	}
	if err := p.deployer.SetRules(context.Background(), id, l.rig.Allow(id, 1)); err != nil {
		p.t.Fatal(err)
	}
	return l
}

func (l lone) call(tool string, args, answer any) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return deploytest.Call(ctx, l.instance, l.plan.Server, l.rig.Token(l.plan.Server, "alice"), tool, args, answer)
}

// occupied is a port that somebody else listens on.
func occupied(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestPortTakenMeanwhile(t *testing.T) {
	p := newPlace(t)
	taken := occupied(t)
	p.deployer.ports.free = func() (int, error) {
		p.deployer.ports.free = freePort
		return taken, nil
	}
	l := p.lone("a", nil)
	if status, err := l.call(deploytest.ToolDescribe, nil, nil); err != nil || status != 200 {
		t.Errorf("the second try does not answer: %d, %v", status, err)
	}
	if !strings.Contains(p.log.String(), "taken meanwhile") || !strings.Contains(p.log.String(), "address already in use") {
		t.Errorf("the log says nothing:\n%s", p.log)
	}
}

// TestStrangersListener has a server whose listener another process holds: it is slow to become ready, and does.
func TestStrangersListener(t *testing.T) {
	p := newPlace(t)
	port := occupied(t) // which answers, at least connections
	p.deployer.ports.free = func() (int, error) { return port, nil }
	l := p.planned("a", func(s *catalog.Server) {
		s.Runtime.Command.Args = append(s.Runtime.Command.Args, "-hang")
	})
	began := time.Now()
	if _, err := p.deployer.Ensure(context.Background(), l.plan); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); bootID() != "" && took < strangerPatience {
		t.Errorf("ready after %v, without a doubt", took)
	}
}

func TestPortTakenForGood(t *testing.T) {
	p := newPlace(t)
	tries := 0
	p.deployer.ports.free = func() (int, error) {
		tries++
		return occupied(t), nil
	}
	l := p.planned("a", nil)
	if _, err := p.deployer.Ensure(context.Background(), l.plan); deploy.AsStartError(err).Code != deploy.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if tries != 2 {
		t.Errorf("%d ports were tried, want 2", tries)
	}
}

func TestPortsAreNotGivenTwice(t *testing.T) {
	dir := t.TempDir()
	p := newPorts(dir)
	next := 0
	p.free = func() (int, error) { next++; return next / 2, nil } // each port is offered twice
	first, err := p.choose(2)
	if err != nil || len(first) != 2 || first[0] == first[1] {
		t.Fatalf("chose %v, %v", first, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "group"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.keep(first, "group")
	next = 0
	if second, err := p.choose(1); err != nil || second[0] == first[0] || second[0] == first[1] {
		t.Errorf("chose %v again: %v", second, err)
	}
	if err := os.Remove(filepath.Join(dir, "group")); err != nil {
		t.Fatal(err)
	}
	next = 0
	if third, err := p.choose(1); err != nil || third[0] != first[0] {
		t.Errorf("chose %v though %v are free again: %v", third, first, err)
	}
	p.free = func() (int, error) { return 7, nil }
	if got, err := p.choose(2); err == nil {
		t.Errorf("chose %v of one port", got)
	}
	if got, err := p.choose(1); err != nil || got[0] != 7 {
		t.Errorf("the failed choice keeps its port: %v, %v", got, err)
	}
	p.release([]int{7})
	p.free = func() (int, error) { return 0, errors.New("none") }
	if _, err := p.choose(1); err == nil {
		t.Error("no error")
	}
}

func TestRefusedPlans(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*deploy.Plan)
		want   string
	}{
		"an image":            {func(p *deploy.Plan) { p.Units[1].Image = "example.com/server:1" }, "only programs run as processes"},
		"no command":          {func(p *deploy.Plan) { p.Units[1].Command = nil }, "no command"},
		"no such program":     {func(p *deploy.Plan) { p.Units[1].Command = []string{"no-such-program"} }, "no-such-program"},
		"unknown placeholder": {func(p *deploy.Plan) { p.Units[1].Command = []string{"sh", "{socket:x}"} }, "{socket:x}"},
		"in a variable":       {func(p *deploy.Plan) { p.Units[1].Env = []deploy.EnvVar{{Name: "X", Value: "{mount:rules}"}} }, "variable X"},
		"no rules yet":        {func(p *deploy.Plan) { p.Server = "b" }, "mounted file"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			l := p.planned("a", nil)
			c.change(&l.plan)
			_, err := p.deployer.Ensure(context.Background(), l.plan)
			if got := deploy.AsStartError(err); got.Code != deploy.CodeUnavailable || got.Message != "The server cannot be started as it is configured." {
				t.Errorf("got %+v", got)
			}
			if !strings.Contains(p.log.String(), c.want) {
				t.Errorf("the log lacks %q:\n%s", c.want, p.log)
			}
			if entries, err := os.ReadDir(p.config.instances()); err != nil || len(entries) != 0 {
				t.Errorf("left: %v, %v", entries, err)
			}
		})
	}
}

// TestSocketsOfPlan resolves a plan with a bridge and a converter, which this deployer runs as it does the rest.
func TestSocketsOfPlan(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules", "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := catalog.Server{
		ID: "a", Runtime: catalog.Runtime{Command: &catalog.Command{Exec: "cat", Args: []string{"-u"}}}, Filters: []string{"pii"},
		Scale: catalog.Scale{Idle: catalog.Duration(time.Minute)}, Startup: catalog.Startup{Timeout: catalog.Duration(time.Minute)},
	}
	filters := []catalog.Filter{{Name: "pii", Webhook: &catalog.Webhook{URL: "https://pii.example"}}}
	plan, err := deploy.MakePlan(s, filters, deploy.Options{RulesKey: deploytest.NewRig().RulesKey()})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{State: dir, Secrets: filepath.Join(dir, "secrets"), Shim: "/bin/sh", Drain: time.Second}
	got, err := newBlueprint(c, plan, group{dir: "/g/1"}, nil).spec()
	if err != nil {
		t.Fatal(err)
	}
	if got.Dir != "/g/1" || got.ID != "1" || got.Drain != time.Second || len(got.Units) != 3 {
		t.Errorf("got %+v", got)
	}
	units := map[string]unitSpec{}
	for _, u := range got.Units {
		units[u.Name] = u
	}
	if got.Units[2].Name != "shim" || !units["shim"].Shim || units["server"].Shim {
		t.Error("the shim does not come last")
	}
	for unit, want := range map[string][]string{
		"shim": {"SHIM_LISTEN=unix:/g/1/shim.sock", "SHIM_UPSTREAM=unix:/g/1/v0.sock", "SHIM_FILTERS=pii=/g/1/v1.sock",
			"SHIM_RULES=" + dir + "/rules/a", "SHIM_IDLE=1m0s", "SHIM_DRAIN=1s"},
		"server":     {"SHIM_LISTEN=unix:/g/1/v0.sock"},
		"filter-pii": {"SHIM_LISTEN=unix:/g/1/v1.sock", "SHIM_WEBHOOK_URL=https://pii.example"},
	} {
		env := "\n" + string(bytes.Join(units[unit].Env, []byte("\n"))) + "\n"
		for _, v := range want {
			if !strings.Contains(env, "\n"+v+"\n") {
				t.Errorf("%s lacks %s:%s", unit, v, env)
			}
		}
	}
	if args := strings.Join(units["server"].Args, " "); args != "/bin/sh bridge -- cat -u" {
		t.Errorf("the server is %q", args)
	}
	if f := units["shim"].Files; len(f) != 1 || f[0].Variable != "SHIM_SEAL_KEY_FILE" || len(f[0].Value) != 32 {
		t.Errorf("the shim's files are %+v", f)
	}
	if units["server"].Files != nil || units["filter-pii"].Files != nil {
		t.Error("others have files")
	}
}

func TestNewRefuses(t *testing.T) {
	p := newPlace(t)
	if _, err := New(p.config); err == nil || !strings.Contains(err.Error(), "another deployer's") {
		t.Errorf("a second deployer got %v", err)
	}
	long := p.config
	long.State = filepath.Join(p.config.State, strings.Repeat("x", 70))
	if _, err := New(long); err == nil || !strings.Contains(err.Error(), "too long for Unix sockets") {
		t.Errorf("a long path got %v", err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.State = "" }, func(c *Config) { c.Secrets = "" }, func(c *Config) { c.Shim = "" },
		func(c *Config) { c.Supervisor = nil }, func(c *Config) { c.Drain = 0 }, func(c *Config) { c.Logger = nil },
	} {
		c := p.config
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "are required") {
			t.Errorf("%+v got %v", c, err)
		}
	}
}

func TestRulesFile(t *testing.T) {
	p := newPlace(t)
	if _, err := p.deployer.Rules("a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without rules: %v", err)
	}
	if err := p.deployer.SetRules(context.Background(), "a", []byte("signed")); err != nil {
		t.Fatal(err)
	}
	if got, err := p.deployer.Rules("a"); err != nil || string(got) != "signed" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{"", "..", "../x", "a/b", "A", strings.Repeat("a", 64)} {
		if err := p.deployer.SetRules(context.Background(), name, nil); err == nil {
			t.Errorf("set rules of %q", name)
		}
		if _, err := p.deployer.Rules(name); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("read rules of %q: %v", name, err)
		}
	}
}

// What a server had goes with it, but not while it still runs.
func TestRetain(t *testing.T) {
	p := newPlace(t)
	if err := p.deployer.Retain(t.Context(), nil); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	up := p.lone("up", nil)
	for _, id := range []string{"kept", "gone"} {
		if err := p.deployer.SetRules(t.Context(), id, []byte("signed")); err != nil {
			t.Fatal(err)
		}
	}
	retain := func(want ...string) {
		t.Helper()
		if err := p.deployer.Retain(t.Context(), []string{"kept"}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"kept", "gone", "up"} {
			if _, err := p.deployer.Rules(id); errors.Is(err, os.ErrNotExist) == slices.Contains(want, id) {
				t.Errorf("rules of %s: %v, want those of %v", id, err, want)
			}
		}
	}
	retain("kept", "up")
	if err := p.deployer.Remove(t.Context(), up.plan.Key()); err != nil {
		t.Fatal(err)
	}
	retain("kept")
}

// TestStopAll stops while instances start: whatever got up must be gone, and nobody gets up later.
func TestStopAll(t *testing.T) {
	p := newPlace(t)
	up := p.lone("up", nil)
	r := p.record(up.instance)
	var plans []deploy.Plan
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		plans = append(plans, p.planned(id, nil).plan)
	}
	var wg sync.WaitGroup
	for i, plan := range plans {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 5 * time.Millisecond)
			if _, err := p.deployer.Ensure(context.Background(), plan); err != nil && deploy.AsStartError(err).Code != deploy.CodeUnavailable {
				t.Error(err)
			}
		})
	}
	time.Sleep(15 * time.Millisecond)
	if err := p.deployer.StopAll(context.Background()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if entries, err := os.ReadDir(p.config.instances()); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	for _, pid := range []int{r.PID, r.Groups["server"], r.Groups["shim"]} {
		gone(t, pid)
	}
	if _, err := p.deployer.Ensure(context.Background(), plans[0]); deploy.AsStartError(err).Code != deploy.CodeUnavailable {
		t.Errorf("after the end: %v", err)
	}
	// A start that had looked before the end, and comes to its claim after it.
	if g, lock, err := p.deployer.claim(plans[0]); err == nil {
		lock.Close()
		t.Errorf("%s was claimed after the end", g.id())
	}
}
