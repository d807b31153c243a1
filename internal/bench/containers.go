package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"mcpgateway/internal/measure"
	"mcpgateway/internal/proxytest"
)

// What the project allows.
const (
	maxContainerWake = 1.3 // of docker run of the same two containers
	containerPairs   = 2   // for each wake that is asked for: a start of containers varies more than one of processes
)

// Ids in the catalogs of the two places.
var (
	processSteadyID, processSleeperID     = fmt.Sprintf("p-steady-%d", os.Getpid()), fmt.Sprintf("p-sleeper-%d", os.Getpid())
	containerSteadyID, containerSleeperID = fmt.Sprintf("c-steady-%d", os.Getpid()), fmt.Sprintf("c-sleeper-%d", os.Getpid())
)

// place is where servers run: the same program as processes and as containers.
type place struct {
	name            string
	rig             *proxytest.Rig
	steady, sleeper *measure.Caller
	asleep          func(ctx context.Context) (bool, error) // nothing is left of the sleeper
}

// containers compares servers that are containers with the same as processes, and their wakes with what the engine's own
// command line takes for the same two containers.
func containers(ctx context.Context, p *measure.Printer, bin string, d time.Duration, wakes int) (err error) {
	version, failed := proxytest.Docker(ctx, nil, "version", "--format", "{{.Server.Version}}")
	if failed != nil {
		fmt.Fprintf(p.Out, "\ncontainers: SKIPPED, no Docker Engine answers: %v\n", failed)
		return nil
	}
	fmt.Fprintf(p.Out, "\nservers as containers of Docker Engine %s; cold: from the call of a sleeping server to its answer's first byte\n", version)
	dir, err := os.MkdirTemp("", "mcp")
	if err != nil {
		return err
	}
	processes := &place{name: "process", asleep: func(context.Context) (bool, error) {
		left, err := findProcesses("", "SHIM_SERVER="+processSleeperID)
		return len(left) == 0, err
	}}
	contained := &place{name: "docker", asleep: containersGone}
	defer func() { err = errors.Join(err, processes.stop(), contained.stop(), os.RemoveAll(dir)) }()
	if err := processes.start(ctx, bin, filepath.Join(dir, "p"), "", processSteadyID, processSleeperID); err != nil {
		return err
	}
	if err := contained.start(ctx, bin, filepath.Join(dir, "c"), "deployer: {docker: {}}\n", containerSteadyID, containerSleeperID); err != nil {
		return err
	}
	reference, err := newDockerRun(ctx, filepath.Join(dir, "r"), contained)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.stop()) }()
	if err := compareWakes(ctx, p, processes, contained, reference, wakes*containerPairs); err != nil {
		return err
	}
	return compareWarm(ctx, p, processes, contained, d/2)
}

// start starts a system whose servers run at the place. The sleeper was called once then, and is asleep.
func (l *place) start(ctx context.Context, bin, dir, platform, steady, sleeper string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	program := overHTTP(filepath.Join(bin, "sample-server"))
	l.rig, err = proxytest.Start(ctx, proxytest.Config{Bin: bin, Dir: dir, Platform: platform,
		Catalog: "apiVersion: v1\nservers:\n" + entry(steady, program, time.Hour) + entry(sleeper, program, sleepAfter) + mayEcho(proxytest.User)})
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	for id, to := range map[string]**measure.Caller{steady: &l.steady, sleeper: &l.sleeper} {
		token, err := l.rig.Token(id)
		if err != nil {
			return err
		}
		*to = measure.NewCaller(l.rig.URL+proxytest.Path(id), token)
		if err := (*to).Call(ctx); err != nil {
			return fmt.Errorf("first call, %s: %w", l.name, err)
		}
	}
	return nil
}

func (l *place) stop() error {
	if l.rig == nil {
		return nil
	}
	return l.rig.Stop()
}

// wake calls the sleeper, once it is asleep.
func (l *place) wake(ctx context.Context) (time.Duration, error) {
	if err := l.awaitSleep(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	at, err := l.sleeper.FirstByte(ctx)
	if err != nil {
		return 0, fmt.Errorf("wake, %s: %w", l.name, err)
	}
	return at.Sub(began), nil
}

func (l *place) awaitSleep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sleepAfter+30*time.Second)
	defer cancel()
	for {
		asleep, err := l.asleep(ctx)
		if err != nil || asleep {
			return err
		}
		if err := measure.Pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the server does not fall asleep, %s: %w", l.name, err)
		}
	}
}

// containersGone says whether nothing of the sleeper is in the engine.
func containersGone(ctx context.Context) (bool, error) {
	ours := "label=mcpgateway.server=" + containerSleeperID
	left, err := proxytest.Docker(ctx, nil, "ps", "-aq", "--filter", ours)
	networks, failed := proxytest.Docker(ctx, nil, "network", "ls", "-q", "--filter", ours)
	return left+networks == "", errors.Join(err, failed)
}

// compareWakes has each of the three start from nothing in every round, in random order, one after the other.
func compareWakes(ctx context.Context, p *measure.Printer, processes, contained *place, reference *dockerRun, rounds int) error {
	ways := []func(context.Context) (time.Duration, error){processes.wake, contained.wake, reference.wake}
	took := make([][]measure.Slice, len(ways))
	for range rounds {
		for _, i := range rand.Perm(len(ways)) {
			one, err := ways[i](ctx)
			if err != nil {
				return err
			}
			took[i] = append(took[i], measure.Slice{Latencies: []time.Duration{one}})
		}
	}
	if rounds < 1 {
		return nil
	}
	p.Pair("run", "docker", "ratio")
	p.Ratio(measure.Figure{Name: fmt.Sprintf("cold, median of %d pairs, ms", rounds), Of: measure.Percentile(0.5), Limit: maxContainerWake}, took[2], took[1])
	p.Ratio(measure.Figure{Name: "cold, p95, ms", Of: measure.Percentile(0.95)}, took[2], took[1])
	p.Note("run: docker run of the shim, then of the server in its network, with the same options, and a call of the shim; the network is there")
	p.Pair("process", "docker", "ratio")
	p.Ratio(measure.Figure{Name: "cold, median, ms", Of: measure.Percentile(0.5)}, took[0], took[1])
	p.Ratio(measure.Figure{Name: "cold, p95, ms", Of: measure.Percentile(0.95)}, took[0], took[1])
	return nil
}

// compareWarm has servers that are awake be called in turn.
func compareWarm(ctx context.Context, p *measure.Printer, processes, contained *place, d time.Duration) error {
	pace := loadTest{"containers, 200 calls/s", func(ctx context.Context, s *system) (measure.Slice, error) {
		return measure.OpenLoop(ctx, s.modern.Call, callsASecond, sliceLength)
	}}
	a, b := &system{name: processes.name, modern: processes.steady}, &system{name: contained.name, modern: contained.steady}
	parts, err := pace.rounds(ctx, []*system{a, b}, d)
	if err != nil {
		return err
	}
	p.Ratio(measure.Figure{Name: "warm, p50, ms", Of: measure.Percentile(0.50)}, parts[a], parts[b])
	p.Ratio(measure.Figure{Name: "warm, p99, ms", Of: measure.Percentile(0.99)}, parts[a], parts[b])
	p.Ratio(measure.Figure{Name: "warm, p99 of a second, its median, ms", Of: measure.MedianP99}, parts[a], parts[b])
	return nil
}
