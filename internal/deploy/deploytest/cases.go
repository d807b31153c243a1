package deploytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

func coldThenWarm(b *bench) {
	p := b.plan(b.entry("a"), nil)
	if got, ok := b.found(p.Key()); ok {
		b.Fatalf("found %+v before any start", got)
	}
	cold := b.ensure(p)
	if !cold.Cold || cold.ID == "" || cold.URL == "" {
		b.Errorf("the first is %+v", cold)
	}
	first := b.describe(cold, p.Key())
	want := deploy.Instance{ID: cold.ID, URL: cold.URL, Host: cold.Host}
	if warm := b.ensure(p); warm != want {
		b.Errorf("then %+v, want %+v", warm, want)
	}
	if found, ok := b.found(p.Key()); !ok || found != want {
		b.Errorf("found %+v, %v, want %+v", found, ok, want)
	}
	if second := b.describe(cold, p.Key()); second.Run != first.Run {
		b.Error("the server was started twice")
	}
	if list := b.list(); len(list) != 1 || list[0].ID != cold.ID || list[0].Hash != p.Hash || list[0].Key.ID() != p.Key().ID() || !list[0].Ready {
		b.Errorf("the list is %+v", list)
	}
}

func oneFlight(b *bench) {
	const callers = 50
	for _, id := range []string{"a", "b", "c"} {
		p := b.plan(b.entry(id), nil)
		ids := make([]string, callers)
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for i := range callers {
			wg.Go(func() {
				<-begin
				got, err := b.Deployer.Ensure(b.ctx, p)
				if err != nil {
					b.Error(err)
				}
				ids[i] = got.ID
			})
		}
		close(begin)
		wg.Wait()
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 1 {
			b.Errorf("callers got %d instances: %v", len(ids), ids)
		}
	}
	if list := b.list(); len(list) != 3 {
		b.Errorf("%d instances run, want 3: %+v", len(list), list)
	}
}

func callersMayLeave(b *bench) {
	p := b.plan(b.entry("a"), nil)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.Deployer.Ensure(ctx, p); !errors.Is(err, context.Canceled) {
		b.Errorf("a caller who left got %v", err)
	}
	if b.Lasting { // what is started by who asks is not started for who left, but it is deployed
		b.eventually("it is deployed without its caller", func() bool { return len(b.list()) == 1 && b.list()[0].ID != "" })
		return
	}
	b.eventually("the start goes on without its caller", func() bool { _, ok := b.found(p.Key()); return ok })
	if warm := b.ensure(p); warm.Cold {
		b.Error("it was started again")
	}
}

func findNeverStarts(b *bench) {
	p := b.plan(b.entry("a"), nil)
	for range 5 {
		if got, ok := b.found(p.Key()); ok {
			b.Fatalf("found %+v", got)
		}
	}
	if list := b.list(); len(list) != 0 {
		b.Errorf("%+v runs", list)
	}
}

func sleepsWhenIdle(b *bench) {
	s := b.entry("a")
	s.Scale.Idle = catalog.Duration(b.Idle)
	p := b.plan(s, nil)
	first := b.ensure(p)
	b.eventually("it is asleep", func() bool { _, ok := b.found(p.Key()); return !ok })
	b.nothingLeft()
	second := b.ensure(p)
	if !b.anew(second, first) {
		b.Errorf("woken as %+v after %+v", second, first)
	}
	b.nothingLeft()
	if third := b.ensure(p); !third.Cold {
		b.Errorf("no failure, and yet %+v", third)
	}
}

func noSleepDuringCall(b *bench) {
	s := b.entry("a")
	s.Scale.Idle = catalog.Duration(b.Idle)
	p := b.plan(s, nil)
	for range 3 { // on a slow machine it may be asleep again before the call
		instance := b.ensure(p)
		ended := b.sleep(instance, p.Key(), 3*b.Idle)
		time.Sleep(2 * b.Idle)
		if found, ok := b.found(p.Key()); !ok || found.ID != instance.ID {
			<-ended
			continue
		}
		if err := <-ended; err != nil {
			b.Errorf("the call was cut: %v", err)
		}
		b.nothingLeft()
		return
	}
	b.Error("it slept during a call")
}

func crashEndsGroup(b *bench) {
	for _, unit := range []string{"server", "shim"} {
		p := b.plan(b.entry(unit+"-crash"), nil)
		before := b.ensure(p)
		run := b.describe(before, p.Key()).Run
		b.Kill(before, unit)
		if b.Lasting {
			b.comesBack(before, p.Key(), unit, run)
			continue
		}
		b.eventually("the instance is gone after a crash of its "+unit, func() bool {
			return !slices.ContainsFunc(b.list(), func(s deploy.Status) bool { return s.ID == before.ID })
		})
		if found, ok := b.found(p.Key()); ok {
			b.Errorf("found %+v after the crash of its %s", found, unit)
		}
		if after := b.ensure(p); after.ID == before.ID || !after.Cold {
			b.Errorf("%+v after the crash of %+v's %s", after, before, unit)
		}
		b.describe(b.ensure(p), p.Key())
	}
}

// comesBack waits until an instance takes calls again after a crash of a unit. A server that crashed is another then.
func (b *bench) comesBack(instance deploy.Instance, key deploy.Key, unit, run string) {
	b.Helper()
	b.eventually("it takes calls again after a crash of its "+unit, func() bool {
		var d Description
		status, err := b.call(instance, key, ToolDescribe, nil, &d)
		return err == nil && status == 200 && (d.Run != run) == (unit == "server")
	})
	b.eventually("it is ready", func() bool { _, ok := b.found(key); return ok })
}

func crashLoop(b *bench) {
	p := b.plan(b.entry("a", "-fail", "boom: the disk is on fire"), nil)
	var last *deploy.StartError
	for range 3 {
		last = b.refused(p)
		if last.Code != deploy.CodeUnavailable || last.RetryAfter <= 0 {
			b.Errorf("got %+v", last)
		}
	}
	if strings.Contains(last.Message, "boom") || strings.Contains(last.Message, "fire") {
		b.Errorf("callers read the server's log: %q", last.Message)
	}
	if !strings.Contains(b.Log(), "boom: the disk is on fire") {
		b.Errorf("the operator's log has not the server's last lines:\n%s", b.Log())
	}
	began := time.Now()
	if b.refused(p); time.Since(began) > 100*time.Millisecond {
		b.Errorf("it was tried again without a pause: %v", time.Since(began))
	}
	b.nothingLeft()
}

func startupTimeout(b *bench) {
	s := b.entry("a", "-hang")
	s.Startup.Timeout = catalog.Duration(500 * time.Millisecond)
	p := b.plan(s, nil)
	began := time.Now()
	if got := b.refused(p); got.Code != deploy.CodeTimeout || got.RetryAfter <= 0 {
		b.Errorf("got %+v", got)
	}
	if took := time.Since(began); took < 500*time.Millisecond || took > 15*time.Second {
		b.Errorf("it took %v", took)
	}
	b.nothingLeft()
}

func missingSecret(b *bench) {
	s := b.entry("a")
	s.Env = []catalog.EnvVar{{Name: "TOKEN", Secret: &catalog.SecretKey{Key: "forgotten"}}}
	p := b.plan(s, nil)
	got := b.refused(p)
	if got.Code != deploy.CodeUnavailable || strings.Contains(got.Message, "forgotten") {
		b.Errorf("got %+v", got)
	}
	want := "forgotten"
	if b.Lasting { // a cluster names the store, which is missing as a whole
		want = "mcp-a-server"
	}
	if !strings.Contains(b.Log(), want) {
		b.Errorf("the operator's log does not name the secret:\n%s", b.Log())
	}
	b.nothingLeft()
	b.PutSecret("mcp-a-server", "forgotten", "found")
	made := b.retry(p, "it starts") // it was found wanting a moment ago
	if d := b.describe(made, p.Key()); !slices.Contains(d.Environment, "TOKEN=found") {
		b.Errorf("the server has %v", d.Environment)
	}
}
