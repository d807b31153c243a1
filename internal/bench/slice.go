package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// slice is what was measured of one system in one short stretch of time.
type slice struct {
	latencies []time.Duration // of an open loop, from when a call was due
	late      []time.Duration // of an open loop: how late calls were sent, which is part of latencies
	calls     int
	elapsed   time.Duration
	cpu       time.Duration // of the proxies, where they are known
}

// openLoop makes calls at fixed times, whether or not earlier ones are answered, and counts each from when it was due:
// a stall then shows in all calls that it held up (no coordinated omission).
func openLoop(ctx context.Context, call func(context.Context) error, perSecond int, d time.Duration) (slice, error) {
	n := int(d.Seconds() * float64(perSecond))
	s := slice{latencies: make([]time.Duration, n), late: make([]time.Duration, n), calls: n}
	errs := make([]error, n)
	interval := time.Second / time.Duration(perSecond)
	var wg sync.WaitGroup
	wait, release := newPacer()
	defer release()
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * interval)
		wait(due)
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			s.late[i] = time.Since(due)
			errs[i] = call(ctx)
			s.latencies[i] = time.Since(due)
		})
	}
	wg.Wait()
	s.elapsed = time.Since(began)
	return s, errors.Join(ctx.Err(), summarise(errs))
}

// closedLoop keeps a number of connections busy: each makes its next call when the last one is answered.
func closedLoop(ctx context.Context, call func(context.Context) error, connections int, d time.Duration) (slice, error) {
	errs := make([]error, connections)
	calls := make([]int, connections)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range connections {
		wg.Go(func() {
			for errs[i] == nil && time.Since(began) < d && ctx.Err() == nil {
				errs[i] = call(ctx)
				calls[i]++
			}
		})
	}
	wg.Wait()
	s := slice{elapsed: time.Since(began)}
	for _, n := range calls {
		s.calls += n
	}
	return s, errors.Join(ctx.Err(), summarise(errs))
}

// summarise is nil where no call failed. A measurement with failed calls is none: failing is fast.
func summarise(errs []error) error {
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d calls failed, the first: %w", len(failed), len(errs), failed[0])
}
