package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
)

// What the project asks of a gateway with listeners.
const (
	listenerCount = 2000
	maxListenerKB = 30  // of the gateway's memory for each
	maxSlowdown   = 1.2 // of calls meanwhile
)

// blockLength is how many slices follow each other without listeners; with them it is twice as many. Those are longer than
// the 25 s after which each listener gets a comment: all that listeners cost falls into them. A p99 of fewer calls is that
// of one collection of garbage, which fell into them or did not.
const blockLength = 12

// How long the gateway rests before, and how long it is made warm. A shim ends a silent leg after 15 s, and the gateway
// opens the next: slices with listeners stand around that.
const (
	warmUp      = 2 * time.Second
	restWithout = 3 * time.Second
	restWith    = 12 * time.Second
)

// listenersTest compares a gateway without listeners to itself with them. Calls go to one server; listened may be another,
// that sleeps.
type listenersTest struct {
	name, listened string

	systems                       // the rig, the server that is called, the one that sleeps
	steady        *system         // what is called
	behind        *measure.Caller // the same server, asked past gateway and shim: what its listeners cost itself
	listening     []*measure.Caller
	without, with cost
}

// cost is what was measured of the gateway in one of its states.
type cost struct {
	slices, direct []measure.Slice
	gateway, shim  use
}

// use is what a process takes.
type use struct {
	mb   float64 // resident: the first without listeners, the most with them
	busy float64 // ms of processor time a second while nobody calls
}

// listeners measures what listeners cost that hear nothing: those of a server that runs and of one that sleeps. Each test
// has a new gateway, whose memory holds nothing of what was before.
func listeners(ctx context.Context, p *measure.Printer, bin string, d time.Duration) error {
	for _, t := range []*listenersTest{{name: "awake", listened: steadyID}, {name: "asleep", listened: sleeperID}} {
		if err := t.run(ctx, bin, max(1, int(d/(3*blockLength*sliceLength)))); err != nil {
			return fmt.Errorf("listeners, server %s: %w", t.name, err)
		}
		t.print(p)
	}
	return nil
}

func (t *listenersTest) run(ctx context.Context, bin string, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop(), os.RemoveAll(dir)) }()
	if err := t.start(ctx, bin, dir); err != nil {
		return err
	}
	// Until garbage was collected some times: the memory that calls take is not the listeners'.
	if _, err := measure.ClosedLoop(ctx, t.steady.modern.Call, cpuConnections, warmUp); err != nil {
		return err
	}
	for range rounds {
		// In the order ABBA: what changes slowly on the machine meets both alike.
		for _, block := range []func() error{
			func() error { return t.measure(ctx, &t.without, restWithout, blockLength) },
			func() error { return t.withListeners(ctx) },
			func() error { return t.measure(ctx, &t.without, restWithout, blockLength) },
		} {
			if err := block(); err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts a gateway in front of two servers.
func (t *listenersTest) start(ctx context.Context, bin, dir string) (err error) {
	t.program = filepath.Join(dir, "sleeper")
	sample := filepath.Join(bin, "sample-server")
	if err := copyProgram(sample, t.program); err != nil {
		return err
	}
	users := make([]string, 10)
	for i := range users {
		users[i] = fmt.Sprintf("listener-%d", i)
	}
	text := "apiVersion: v1\nservers:\n" + entry(steadyID, overHTTP(sample), time.Hour) + entry(sleeperID, overHTTP(t.program), sleepAfter) +
		mayEcho(append(users, proxytest.User)...)
	if t.rig, err = proxytest.Start(ctx, proxytest.Config{Bin: bin, Dir: dir, Catalog: text, Users: users}); err != nil {
		return err
	}
	t.steady = &system{name: "ours"}
	if t.steady.modern, err = t.caller(steadyID); err != nil {
		return err
	}
	for _, user := range users {
		token, err := t.rig.TokenOf(user, t.listened)
		if err != nil {
			return err
		}
		t.listening = append(t.listening, measure.NewCaller(t.rig.URL+proxytest.Path(t.listened), token))
	}
	if err := t.steady.modern.Call(ctx); err != nil {
		return err
	}
	if t.shim, err = findShim(steadyID); err != nil {
		return err
	}
	t.steady.proxies = []int{t.rig.Gateway.PID(), t.shim}
	t.behind, err = serverBehind(t.shim, sample)
	return err
}

// serverBehind makes calls of the sample server that stands beside a shim.
func serverBehind(shim int, program string) (*measure.Caller, error) {
	supervisor, err := parentOf(shim)
	if err != nil {
		return nil, err
	}
	servers, err := findProcesses(program, "")
	if err != nil {
		return nil, err
	}
	for _, pid := range servers {
		if parent, _ := parentOf(pid); parent != supervisor { // or it ended: another bench's
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return nil, fmt.Errorf("read the arguments of process %d: %w", pid, err)
		}
		if _, address, found := strings.Cut(string(line), "-addr\x00"); found {
			return measure.NewCaller("http://"+strings.TrimRight(address, "\x00")+"/mcp", ""), nil
		}
	}
	return nil, fmt.Errorf("no process of %s stands beside the shim", program)
}

// withListeners measures twice while they listen.
func (t *listenersTest) withListeners(ctx context.Context) (err error) {
	a, err := gather(ctx, t.listening, listenerCount)
	defer func() { err = errors.Join(err, a.dismiss()) }()
	if err != nil {
		return err
	}
	rest := restWith
	if t.listened == sleeperID {
		rest = restWithout
		if err := t.awaitSleep(ctx); err != nil {
			return err
		}
	}
	if err := t.measure(ctx, &t.with, rest, 2*blockLength); err != nil {
		return err
	}
	return a.check()
}

// measure measures a block of n slices after a rest.
func (t *listenersTest) measure(ctx context.Context, c *cost, rest time.Duration, n int) error {
	first := c.slices == nil
	if err := t.rest(ctx, c, rest, first); err != nil {
		return err
	}
	// The clients of the listeners are in this process: collecting their garbage would count as the gateway's slowness.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for i := range n {
		if err := t.oneSlice(ctx, c); err != nil {
			return err
		}
		if i%4 == 3 {
			part, err := measure.OpenLoop(ctx, t.behind.Call, callsASecond, sliceLength)
			if err != nil {
				return fmt.Errorf("past the gateway: %w", err)
			}
			c.direct = append(c.direct, part)
		}
		if woken, err := findProcesses(t.program, "SHIM_SERVER="+sleeperID); err != nil || len(woken) > 0 {
			return fmt.Errorf("the sleeping server was woken: processes %v, %v", woken, err)
		}
	}
	for pid, u := range t.uses(c) {
		mb, _, err := residentMB(pid)
		if err != nil {
			return err
		}
		if first || c == &t.with { // what listeners needed is given back late: later blocks are not without them
			u.mb = max(u.mb, mb)
		}
	}
	return nil
}

// oneSlice measures calls through the gateway.
func (t *listenersTest) oneSlice(ctx context.Context, c *cost) error {
	before, err := proxyTime(t.steady)
	if err != nil {
		return err
	}
	part, err := measure.OpenLoop(ctx, t.steady.modern.Call, callsASecond, sliceLength)
	if err != nil {
		return err
	}
	after, err := proxyTime(t.steady)
	if err != nil {
		return err
	}
	part.CPU = after - before
	c.slices = append(c.slices, part)
	return nil
}

func (t *listenersTest) uses(c *cost) map[int]*use {
	return map[int]*use{t.rig.Gateway.PID(): &c.gateway, t.shim: &c.shim}
}

// rest waits, and the first time notes what gateway and shim do meanwhile: later there are listeners' ends to clear up.
func (t *listenersTest) rest(ctx context.Context, c *cost, d time.Duration, note bool) error {
	began := map[int]time.Duration{}
	for pid := range t.uses(c) {
		var err error
		if began[pid], err = cpuTime(pid); err != nil {
			return err
		}
	}
	if err := measure.Pause(ctx, d); err != nil {
		return err
	}
	for pid, u := range t.uses(c) {
		used, err := cpuTime(pid)
		if err != nil {
			return err
		}
		if note {
			u.busy = float64((used - began[pid]).Microseconds()) / 1e3 / d.Seconds()
		}
	}
	return nil
}

func (t *listenersTest) print(p *measure.Printer) {
	p.Pair("without", "with", "ratio")
	of := fmt.Sprintf(", %d listeners, %s", listenerCount, t.name)
	p.Ratio(measure.Figure{Name: "p50, ms" + of, Of: measure.Percentile(0.50), Limit: maxSlowdown}, t.without.slices, t.with.slices)
	p.Ratio(measure.Figure{Name: "p99, ms" + of, Of: measure.Percentile(0.99), Limit: maxSlowdown}, t.without.slices, t.with.slices)
	p.Ratio(measure.Figure{Name: "p99 of a second, its median, ms", Of: measure.MedianP99}, t.without.slices, t.with.slices)
	p.Ratio(measure.Figure{Name: "the server itself: p99, ms", Of: measure.Percentile(0.99)}, t.without.direct, t.with.direct)
	p.Ratio(measure.Figure{Name: "CPU of gateway and shim per call, µs", Of: measure.CPUPerCall}, t.without.slices, t.with.slices)
	perListener(p, "gateway memory, MB", t.without.gateway.mb, t.with.gateway.mb, maxListenerKB)
	perListener(p, "memory of the shim that is called, MB", t.without.shim.mb, t.with.shim.mb, 0)
	p.Note("while nobody calls, the gateway is busy for %.1f ms a second without listeners and %.1f with them, the shim for %.1f and %.1f",
		t.without.gateway.busy, t.with.gateway.busy, t.without.shim.busy, t.with.shim.busy)
}

// perListener prints memory without listeners and with them, and what that is for each, in KB of 1,000 bytes.
func perListener(p *measure.Printer, name string, without, with, limit float64) {
	each := (with - without) * 1e3 / listenerCount
	fmt.Fprintf(p.Out, "%-38s %9.2f %9.2f   %-21s %s\n", name, without, with, fmt.Sprintf("%.1f KB each", each), p.Verdict(each, limit, false))
}
