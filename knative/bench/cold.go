package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"mcpgateway/internal/measure"
)

// serverID is the server that is woken alone, and that is called warm.
const serverID = "one"

// maxColdRatio is what the project allows for the median wake without the relist wait.
const maxColdRatio = 1.10

// between is how long the first of a pair is left alone before the second is woken: what the platform still does for the
// first by then is little.
const between = 2 * time.Second

// pair has both services deployed and asleep.
func (r *rig) pair(ctx context.Context) (bare, ours target, err error) {
	if bare, err = r.bare(ctx, serverID); err != nil {
		return bare, ours, err
	}
	if ours, err = r.ours(serverID); err != nil {
		return bare, ours, err
	}
	// The deployer deploys what the catalog has by itself, but a call need not wait for that.
	if err = ours.call.Call(ctx); err != nil {
		return bare, ours, fmt.Errorf("deploy %s: %w", ours.name, err)
	}
	return bare, ours, r.awaitZero(ctx, bare, ours)
}

// cold wakes both services again and again. The first pair only warms up.
func cold(ctx context.Context, p *measure.Printer, r *rig, count int) error {
	bare, ours, err := r.pair(ctx)
	if err != nil {
		return err
	}
	var pairs [][2]wake
	for n := range count + 1 {
		var woken [2]wake
		both := [2]target{bare, ours}
		for i := range both {
			which := (i + n) % 2
			// The kubelet looks once a second, from when it was started: both shall meet that at any moment.
			if err := measure.Pause(ctx, time.Duration(rand.Int64N(int64(time.Second)))); err != nil {
				return err
			}
			if woken[which], err = r.wakeOnce(ctx, both[which]); err != nil {
				return err
			}
			if err := measure.Pause(ctx, between); err != nil {
				return err
			}
		}
		if n > 0 {
			pairs = append(pairs, woken)
		}
		if err := r.awaitZero(ctx, bare, ours); err != nil {
			return err
		}
	}
	log, err := readNode(r.logs)
	if err != nil {
		return err
	}
	known, err := log.known(pairs)
	if len(known) > 0 {
		printCold(p, known, count)
	}
	return err
}

// known adds what the node's logs tell, and leaves out pairs of which not all is told. It is an error where those are many.
func (n *nodeLog) known(pairs [][2]wake) (known [][2]wake, err error) {
	for _, pair := range pairs {
		var problems [2]error
		for i := range pair {
			if pod := n.pods[pair[i].pod]; pod != nil {
				pair[i].node = *pod
			}
			problems[i] = pair[i].complete()
		}
		if problem := errors.Join(problems[:]...); problem != nil {
			err = problem
			continue
		}
		known = append(known, pair)
	}
	if lost := len(pairs) - len(known); lost*10 > len(pairs) {
		return known, fmt.Errorf("%d of %d pairs are not known well enough, the last: %w", lost, len(pairs), err)
	}
	return known, nil
}

func printCold(p *measure.Printer, pairs [][2]wake, of int) {
	both := func(took func(wake) time.Duration) (bare, ours []measure.Slice) {
		for _, pair := range pairs {
			bare = append(bare, measure.Slice{Latencies: []time.Duration{took(pair[0])}})
			ours = append(ours, measure.Slice{Latencies: []time.Duration{took(pair[1])}})
		}
		return bare, ours
	}
	median := measure.Percentile(0.5)
	p.Pair("bare", "ours", "ratio")
	a, b := both(wake.without)
	p.Ratio(measure.Figure{Name: "wake but for the relist wait, median, ms", Of: median, Limit: maxColdRatio}, a, b)
	p.Ratio(measure.Figure{Name: "the same, p95, ms", Of: measure.Percentile(0.95)}, a, b)
	a, b = both(wake.whole)
	p.Ratio(measure.Figure{Name: "whole wake, median, ms", Of: median}, a, b)
	p.Ratio(measure.Figure{Name: "the same, p95, ms", Of: measure.Percentile(0.95)}, a, b)
	p.Note("%d pairs of %d; the relist wait is from the return of the last container's start until the kubelet, which lists", len(pairs), of)
	p.Note("containers once a second, notices it, by the logs of containerd and kubelet")
	p.Pair("bare", "ours", "added")
	for i, s := range stages {
		a, b := both(func(w wake) time.Duration { return w.parts()[i] })
		p.Added(measure.Figure{Name: s.name + ", ms", Of: median}, a, b)
	}
}
