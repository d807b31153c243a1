package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
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
	run  func(ctx context.Context, s *system) (slice, error)
}

// rounds runs the test on each system in turn, in random order each time, for about d each. The first round only warms up.
func (t loadTest) rounds(ctx context.Context, systems []*system, d time.Duration) (map[*system][]slice, error) {
	measured := map[*system][]slice{}
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
			part.cpu = after - before
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
func (s *systems) load(ctx context.Context, p *printer, d time.Duration) error {
	pace := loadTest{"200 calls/s", func(ctx context.Context, s *system) (slice, error) {
		return openLoop(ctx, s.modern.call, callsASecond, sliceLength)
	}}
	parts, err := pace.rounds(ctx, s.withStdio(), d)
	if err != nil {
		return err
	}
	p.head()
	s.compare(p, figure{name: "p50, ms", of: percentile(0.50), limit: 1.3}, parts)
	s.compare(p, figure{name: "p99, ms", of: percentile(0.99), limit: 1.3}, parts)
	s.compare(p, figure{name: "p99 of a second, its median, ms", of: medianP99}, parts)
	p.note("calls left p50 %.3f ms and p99 %.3f ms after they were due, which is part of the latencies", lateness(parts, 0.5), lateness(parts, 0.99))

	bridged := parts

	pace.run = func(ctx context.Context, s *system) (slice, error) {
		return openLoop(ctx, s.legacy.call, callsASecond, sliceLength)
	}
	if parts, err = pace.rounds(ctx, s.withStdio(), d/3); err != nil {
		return err
	}
	s.compare(p, figure{name: "p50, legacy session, ms", of: percentile(0.50)}, parts)
	s.compare(p, figure{name: "p99, legacy session, ms", of: percentile(0.99)}, parts)
	bridgedLegacy := parts

	if parts, err = busy(cpuConnections).rounds(ctx, s.all(), d/2); err != nil {
		return err
	}
	s.compare(p, figure{name: "CPU of the proxies per call, µs", of: cpuPerCall, limit: 1.5}, parts)

	if parts, err = busy(manyConnections).rounds(ctx, s.all(), d/2); err != nil {
		return err
	}
	s.compare(p, figure{name: "calls/s at 32 connections", of: callsPerSecond, limit: 0.7, atLeast: true}, parts)
	if err := s.memory(p, "shim memory after the load, MB"); err != nil {
		return err
	}

	p.pair("HTTP", "stdio", "added")
	p.added(figure{name: "p50, ms", of: percentile(0.50), limit: maxAddedMS}, bridged[s.ours], bridged[s.stdio])
	p.added(figure{name: "p99, ms", of: percentile(0.99)}, bridged[s.ours], bridged[s.stdio])
	p.added(figure{name: "p50, legacy session, ms", of: percentile(0.50), limit: maxAddedMS}, bridgedLegacy[s.ours], bridgedLegacy[s.stdio])
	return nil
}

func busy(connections int) loadTest {
	return loadTest{fmt.Sprintf("%d connections", connections), func(ctx context.Context, s *system) (slice, error) {
		return closedLoop(ctx, s.modern.call, connections, sliceLength)
	}}
}

// lateness is a quantile, in milliseconds, of how late the generator was.
func lateness(parts map[*system][]slice, q float64) float64 {
	var all []time.Duration
	for _, slices := range parts {
		for _, s := range slices {
			all = append(all, s.late...)
		}
	}
	return quantile(all, q).Seconds() * 1e3
}
