package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mcpgateway/internal/measure"
)

// What a function that is warm may add to the median call of the plain gateway, and how late an event of a stream may be.
const (
	maxAddedMS = 1
	maxEventMS = 5
)

// callsOfSlice are made one after the other, as an instance takes them: short, so that both doors meet the same weather.
const callsOfSlice = 50

// calls makes the same calls through both doors.
func (r *rig) calls(ctx context.Context, p *measure.Printer, d time.Duration) error {
	plain, function, err := turns(d, r.echo, func(c *measure.Caller) (s measure.Slice, err error) {
		for range callsOfSlice {
			took, err := timed(func() error { return c.Call(ctx) })
			if err != nil {
				return s, err
			}
			s.Latencies = append(s.Latencies, took)
		}
		return s, nil
	})
	if err != nil {
		return err
	}
	p.Pair("plain", "function", "added")
	p.Added(measure.Figure{Name: "warm call, p50, ms", Of: measure.Percentile(0.5), Limit: maxAddedMS}, plain, function)
	p.Added(measure.Figure{Name: "warm call, p99, ms", Of: measure.Percentile(0.99)}, plain, function)
	p.Note("%d calls of each, of 1 KB there and back, one after the other", callsOfSlice*len(plain))
	return nil
}

// streams reads the same streams through both doors.
func (r *rig) streams(ctx context.Context, p *measure.Printer, d time.Duration) error {
	plain, function, err := turns(d, r.events, func(c *measure.Caller) (measure.Slice, error) {
		late, err := listen(ctx, c)
		return measure.Slice{Latencies: late}, err
	})
	if err != nil {
		return err
	}
	p.Pair("plain", "function", "added")
	p.Added(measure.Figure{Name: "event, from sent to read, p50, ms", Of: measure.Percentile(0.5)}, plain, function)
	p.Added(measure.Figure{Name: "event, from sent to read, p99, ms", Of: measure.Percentile(0.99)}, plain, function)
	fmt.Fprintln(p.Out)
	p.Single("event, function, p99, ms", measure.Percentile(0.99)(function), maxEventMS)
	p.Note("%d events of each, every %v", eventsOfStream*len(plain), eventPause)
	return nil
}

// turns measures both doors in slices, in random order, for about d. The first round only warms up.
func turns(d time.Duration, at door, measured func(*measure.Caller) (measure.Slice, error)) (plain, function []measure.Slice, err error) {
	both := [2]*measure.Caller{at.plain, at.function}
	var parts [2][]measure.Slice
	for round, began := 0, time.Now(); round < 3 || time.Since(began) < d; round++ {
		for _, i := range rand.Perm(len(both)) {
			part, err := measured(both[i])
			if err != nil {
				return nil, nil, err
			}
			if round > 0 {
				parts[i] = append(parts[i], part)
			}
		}
	}
	return parts[0], parts[1], nil
}
