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

// callsASecond is a load at which nothing waits for a processor on two cores that others use, too.
const callsASecond = 50

// sliceLength is short, so that both meet the same weather.
const sliceLength = time.Second

// warm calls both while they are awake, in slices in random order. The first round only warms up.
func warm(ctx context.Context, p *measure.Printer, r *rig, d time.Duration) error {
	bare, ours, err := r.pair(ctx)
	if err != nil {
		return err
	}
	both := [2]target{bare, ours}
	var measured [2][]measure.Slice
	for round := range max(int(d/sliceLength), 2) + 1 {
		for _, i := range rand.Perm(len(both)) {
			part, err := measure.OpenLoop(ctx, both[i].call.Call, callsASecond, sliceLength)
			if err != nil {
				return fmt.Errorf("%s: %w", both[i].name, err)
			}
			if round > 0 {
				measured[i] = append(measured[i], part)
			}
		}
	}
	p.Pair("bare", "ours", "added")
	p.Added(measure.Figure{Name: "warm, p50, ms", Of: measure.Percentile(0.5), Limit: maxAddedMS}, measured[0], measured[1])
	p.Added(measure.Figure{Name: "warm, p99, ms", Of: measure.Percentile(0.99)}, measured[0], measured[1])
	p.Note("%d calls a second, of 1 KB there and back", callsASecond)
	return r.awaitZero(ctx, bare, ours)
}
