package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
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
func cold(ctx context.Context, p *measure.Printer, r *rig, pairs int) error {
	bare, ours, err := r.pair(ctx)
	if err != nil {
		return err
	}
	var wakes [2][]wake
	for n := range pairs + 1 {
		both := [2]target{bare, ours}
		for i := range both {
			which := (i + n) % 2
			// The kubelet looks once a second, from when it was started: both shall meet that at any moment.
			if err := pause(ctx, time.Duration(rand.Int64N(int64(time.Second)))); err != nil {
				return err
			}
			w, err := r.wakeOnce(ctx, both[which])
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "pair %d: %s in %v, pod %s\n", n, both[which].namespace, w.whole().Round(time.Millisecond), w.pod)
			if n > 0 {
				wakes[which] = append(wakes[which], w)
			}
			if err := pause(ctx, between); err != nil {
				return err
			}
		}
		if err := r.awaitZero(ctx, bare, ours); err != nil {
			return err
		}
	}
	return r.printCold(p, wakes[0], wakes[1])
}

func (r *rig) printCold(p *measure.Printer, bare, ours []wake) error {
	log, err := readNode(r.logs)
	if err != nil {
		return err
	}
	for _, wakes := range [][]wake{bare, ours} {
		for i := range wakes {
			if pod := log.pods[wakes[i].pod]; pod != nil {
				wakes[i].node = *pod
			}
			if err := wakes[i].complete(); err != nil {
				return err
			}
		}
	}
	median := measure.Percentile(0.5)
	p.Pair("bare", "ours", "ratio")
	both := func(took func(wake) time.Duration) (a, b []measure.Slice) {
		return slicesOf(bare, took), slicesOf(ours, took)
	}
	a, b := both(wake.without)
	p.Ratio(measure.Figure{Name: "wake but for the relist wait, median, ms", Of: median, Limit: maxColdRatio}, a, b)
	p.Ratio(measure.Figure{Name: "the same, p95, ms", Of: measure.Percentile(0.95)}, a, b)
	a, b = both(wake.whole)
	p.Ratio(measure.Figure{Name: "whole wake, median, ms", Of: median}, a, b)
	p.Ratio(measure.Figure{Name: "the same, p95, ms", Of: measure.Percentile(0.95)}, a, b)
	p.Note("%d pairs; the relist wait is from the return of the last container's start until the kubelet lists containers", len(ours))
	p.Pair("bare", "ours", "added")
	for i, s := range stages {
		a, b := both(func(w wake) time.Duration { return w.parts()[i] })
		p.Added(measure.Figure{Name: s.name + ", ms", Of: median}, a, b)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
