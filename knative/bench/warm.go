package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mcpgateway/internal/measure"
)

// maxAddedMS is what gateway and shim may add to the median call.
const maxAddedMS = 1

// The loads, in calls a second. What is judged is the one that internal/bench judges gateway and shim at without a cluster.
// At the other the machine sleeps between calls, and each hop of either way waits longer for a core to wake: it is told, too.
const (
	judgedLoad = 200
	slowLoad   = 50
)

// sliceLength is short, so that both meet the same weather.
const sliceLength = time.Second

// warm calls both while they are awake.
func warm(ctx context.Context, p *measure.Printer, r *rig, d time.Duration) error {
	bare, ours, err := r.pair(ctx)
	if err != nil {
		return err
	}
	for _, load := range []int{slowLoad, judgedLoad} {
		if err := warmAt(ctx, p, [2]target{bare, ours}, load, d); err != nil {
			return err
		}
	}
	return r.awaitZero(ctx, bare, ours)
}

// warmAt calls both at one load, in slices in random order. The first round only warms up.
func warmAt(ctx context.Context, p *measure.Printer, both [2]target, load int, d time.Duration) error {
	var measured [2][]measure.Slice
	for round := range max(int(d/sliceLength), 2) + 1 {
		for _, i := range rand.Perm(len(both)) {
			part, err := measure.OpenLoop(ctx, both[i].call.Call, load, sliceLength)
			if err != nil {
				return fmt.Errorf("%s: %w", both[i].name, err)
			}
			if round > 0 {
				measured[i] = append(measured[i], part)
			}
		}
	}
	p.Pair("bare", "ours", "added")
	median := measure.Figure{Name: "warm, p50, ms", Of: measure.Percentile(0.5)}
	if load == judgedLoad {
		median.Limit = maxAddedMS
	}
	p.Added(median, measured[0], measured[1])
	p.Added(measure.Figure{Name: "warm, p99, ms", Of: measure.Percentile(0.99)}, measured[0], measured[1])
	p.Note("%d calls a second, of 1 KB there and back", load)
	return nil
}
