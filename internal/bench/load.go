package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mcpgateway/internal/measure"
)

// The load, as the project's thresholds name it.
const (
	callsASecond    = 200
	cpuConnections  = 8
	manyConnections = 32
)

// maxAddedMS is what a server's bridge from stdio may add to a call through gateway and shim.
const maxAddedMS = 0.3

// sliceLength is short, so that both systems meet the same weather, and long enough for 200 calls.
const sliceLength = time.Second

// loadTest is one kind of load.
type loadTest struct {
	name string
	run  func(ctx context.Context, s *system) (measure.Slice, error)
}

// rounds runs the test on each system in turn, in random order each time, for about d each. The first round only warms up.
func (t loadTest) rounds(ctx context.Context, systems []*system, d time.Duration) (map[*system][]measure.Slice, error) {
	measured := map[*system][]measure.Slice{}
	for round := range max(int(d/sliceLength), 2) + 1 {
		for _, i := range rand.Perm(len(systems)) {
			s := systems[i]
			before, err := proxyTime(s)
			if err != nil {
				return nil, err
			}
			part, err := t.run(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", t.name, s.name, err)
			}
			after, err := proxyTime(s)
			if err != nil {
				return nil, err
			}
			part.CPU = after - before
			if round > 0 {
				measured[s] = append(measured[s], part)
			}
		}
	}
	return measured, nil
}

// proxyTime is the processor time that a system's proxies have used.
func proxyTime(s *system) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range s.proxies {
		t, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// load measures latency, processor time and throughput. d is for latency in the main era; the rest takes less.
func (s *systems) load(ctx context.Context, p *measure.Printer, d time.Duration) error {
	pace := loadTest{"200 calls/s", func(ctx context.Context, s *system) (measure.Slice, error) {
		return measure.OpenLoop(ctx, s.modern.Call, callsASecond, sliceLength)
	}}
	parts, err := pace.rounds(ctx, s.withStdio(), d)
	if err != nil {
		return err
	}
	head(p)
	s.compare(p, measure.Figure{Name: "p50, ms", Of: measure.Percentile(0.50), Limit: 1.3}, parts)
	s.compare(p, measure.Figure{Name: "p99, ms", Of: measure.Percentile(0.99), Limit: 1.3}, parts)
	s.compare(p, measure.Figure{Name: "p99 of a second, its median, ms", Of: measure.MedianP99}, parts)
	p.Note("calls left p50 %.3f ms and p99 %.3f ms after they were due, which is part of the latencies", lateness(parts, 0.5), lateness(parts, 0.99))

	bridged := parts

	pace.run = func(ctx context.Context, s *system) (measure.Slice, error) {
		return measure.OpenLoop(ctx, s.legacy.Call, callsASecond, sliceLength)
	}
	if parts, err = pace.rounds(ctx, s.withStdio(), d/3); err != nil {
		return err
	}
	s.compare(p, measure.Figure{Name: "p50, legacy session, ms", Of: measure.Percentile(0.50)}, parts)
	s.compare(p, measure.Figure{Name: "p99, legacy session, ms", Of: measure.Percentile(0.99)}, parts)
	bridgedLegacy := parts

	if parts, err = busy(cpuConnections).rounds(ctx, s.all(), d/2); err != nil {
		return err
	}
	s.compare(p, measure.Figure{Name: "CPU of the proxies per call, µs", Of: measure.CPUPerCall, Limit: 1.5}, parts)

	if parts, err = busy(manyConnections).rounds(ctx, s.all(), d/2); err != nil {
		return err
	}
	s.compare(p, measure.Figure{Name: "calls/s at 32 connections", Of: measure.CallsPerSecond, Limit: 0.7, AtLeast: true}, parts)
	if err := s.memory(p, "shim memory after the load, MB"); err != nil {
		return err
	}

	p.Pair("HTTP", "stdio", "added")
	p.Added(measure.Figure{Name: "p50, ms", Of: measure.Percentile(0.50), Limit: maxAddedMS}, bridged[s.ours], bridged[s.stdio])
	p.Added(measure.Figure{Name: "p99, ms", Of: measure.Percentile(0.99)}, bridged[s.ours], bridged[s.stdio])
	p.Added(measure.Figure{Name: "p50, legacy session, ms", Of: measure.Percentile(0.50), Limit: maxAddedMS}, bridgedLegacy[s.ours], bridgedLegacy[s.stdio])
	return nil
}

func busy(connections int) loadTest {
	return loadTest{fmt.Sprintf("%d connections", connections), func(ctx context.Context, s *system) (measure.Slice, error) {
		return measure.ClosedLoop(ctx, s.modern.Call, connections, sliceLength)
	}}
}

// lateness is a quantile, in milliseconds, of how late the generator was.
func lateness(parts map[*system][]measure.Slice, q float64) float64 {
	var all []time.Duration
	for _, slices := range parts {
		for _, s := range slices {
			all = append(all, s.Late...)
		}
	}
	return measure.Quantile(all, q).Seconds() * 1e3
}

func head(p *measure.Printer) {
	fmt.Fprintf(p.Out, "\n%-33s %9s %9s %9s   %-21s %s\n", "", "direct", "reference", "ours", "ratio (95 %)", "threshold")
}

// compare prints a figure of all three systems and whether the ratio of ours to the reference keeps its limit.
func (s *systems) compare(p *measure.Printer, f measure.Figure, parts map[*system][]measure.Slice) {
	r := measure.Compare(parts[s.ours], parts[s.reference], f.Of)
	fmt.Fprintf(p.Out, "%-33s %9.2f %9.2f %9.2f   %.2f (%.2f to %.2f)   %s\n", f.Name, f.Of(parts[s.direct]), f.Of(parts[s.reference]),
		f.Of(parts[s.ours]), r.Value, r.Low, r.High, p.Verdict(r.Value, f.Limit, f.AtLeast))
}
