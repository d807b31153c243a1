package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
)

// What a list may cost: of a sleeping server whose discovery is cached, and of one that was woken, against a server that is
// asked for each. A tenth more is noise: that would be a second round trip.
const (
	maxAsleepMS = 5 // p95
	maxWoken    = 1.1
)

var (
	keptID = fmt.Sprintf("kept-%d", os.Getpid())
	liveID = fmt.Sprintf("live-%d", os.Getpid())
)

// listing is a system with two servers, and the function that keeps what one of them says of itself.
type listing struct {
	systems
	audit      *proxytest.Process
	kept, live *measure.Caller
	dir        string
}

// lists measures what lists cost, of a server that sleeps and of the same once it is woken.
func lists(ctx context.Context, p *measure.Printer, bin string, wakes int) (err error) {
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return err
	}
	l := &listing{dir: dir}
	defer func() { err = errors.Join(err, l.stop(), os.RemoveAll(dir)) }()
	if err := l.start(ctx, bin); err != nil {
		return err
	}
	samples := max(2*wakes, 2)
	var took []time.Duration
	var live, woken []measure.Slice
	for range samples {
		if err := l.sleeps(ctx); err != nil {
			return err
		}
		before, err := l.answered()
		if err != nil {
			return err
		}
		began := time.Now()
		if err := l.kept.List(ctx); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if now, err := l.answered(); err != nil || now != before+1 {
			return fmt.Errorf("a list was not answered while the server slept (%w)", err)
		}
		if err := l.awakes(ctx); err != nil {
			return err
		}
		for _, side := range []struct {
			to  *[]measure.Slice
			who *measure.Caller
		}{{&live, l.live}, {&woken, l.kept}} {
			slice, err := inTurn(ctx, side.who.List, 20)
			if err != nil {
				return err
			}
			*side.to = append(*side.to, slice)
		}
	}
	l.print(p, took, live, woken)
	return nil
}

// inTurn makes calls one after the other.
func inTurn(ctx context.Context, call func(context.Context) error, calls int) (s measure.Slice, err error) {
	for range calls {
		began := time.Now()
		if err := call(ctx); err != nil {
			return s, err
		}
		s.Latencies = append(s.Latencies, time.Since(began))
	}
	s.Calls = calls
	return s, nil
}

func (l *listing) print(p *measure.Printer, took []time.Duration, live, woken []measure.Slice) {
	fmt.Fprintln(p.Out, "\nlist: tools/list, filtered by policy; of a server that sleeps (discovery: cached), and of the same woken against one that is always awake")
	p.Single(fmt.Sprintf("of a sleeping one, p95 of %d, ms", len(took)), measure.Quantile(took, 0.95).Seconds()*1e3, maxAsleepMS)
	p.Single("of a sleeping one, median, ms", measure.Quantile(took, 0.5).Seconds()*1e3, 0)
	p.Pair("awake", "woken", "ratio")
	p.Ratio(measure.Figure{Name: "round trip of a list, median, ms", Of: measure.Percentile(0.5), Limit: maxWoken}, live, woken)
}

// answered counts what the gateway answered while the server slept.
func (l *listing) answered() (int, error) {
	text, err := os.ReadFile(filepath.Join(l.dir, "gateway.log"))
	return bytes.Count(text, []byte(`"outcome":"answered"`)), err
}

// start starts everything, and has the one server leave its lists.
func (l *listing) start(ctx context.Context, bin string) error {
	address, err := proxytest.FreeAddress()
	if err != nil {
		return err
	}
	sample := filepath.Join(bin, "sample-server")
	l.program = filepath.Join(l.dir, "kept")
	if err := copyProgram(sample, l.program); err != nil {
		return err
	}
	fresh := strings.Replace(overHTTP(l.program), `args: [`, `args: ["-fresh", "24h", `, 1)
	l.rig, err = proxytest.Start(ctx, proxytest.Config{Bin: bin, Dir: l.dir,
		Platform: "audit: {url: \"unix:audit-in/audit.sock\", store: {auditors: [security]}}\n",
		Catalog: "apiVersion: v1\nservers:\n" + entry(keptID, fresh, sleepAfter) + "    discovery: cached\n" + entry(liveID, overHTTP(sample), time.Hour) +
			mayEcho(proxytest.User)})
	if err != nil {
		return err
	}
	platform := "PLATFORM=" + filepath.Join(l.dir, "platform.yaml")
	if l.audit, err = proxytest.StartProcess(proxytest.Command{Path: filepath.Join(bin, "audit"), Env: []string{platform, "LISTEN=" + address}, Log: filepath.Join(l.dir, "audit.log")}); err != nil {
		return err
	}
	if err := l.audit.Await(ctx, "tcp", address); err != nil {
		return err
	}
	for id, to := range map[string]**measure.Caller{keptID: &l.kept, liveID: &l.live} {
		caller, err := l.caller(id)
		if err != nil {
			return err
		}
		if *to = caller.Lister(); (*to).List(ctx) != nil {
			return fmt.Errorf("first list of %s: %w", id, (*to).List(ctx))
		}
	}
	return nil
}

// sleeps returns when nothing of the one server runs and its lists are there.
func (l *listing) sleeps(ctx context.Context) error {
	if err := l.awaitEnd(ctx, keptID); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(l.dir, ".run", "audit", "lists", keptID))
	return err
}

// awakes returns when the server that was woken meanwhile answers itself.
func (l *listing) awakes(ctx context.Context) error {
	for range 500 {
		if shims, err := findProcesses("", "SHIM_SERVER="+keptID); err == nil && len(shims) == 1 {
			if found, err := findProcesses(l.program, ""); err == nil && len(found) == 1 {
				return measure.Pause(ctx, 100*time.Millisecond)
			}
		}
		if err := measure.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the server was not woken meanwhile")
}

func (l *listing) stop() error {
	err := l.systems.stop()
	if l.audit != nil {
		err = errors.Join(err, l.audit.Stop())
	}
	return err
}
