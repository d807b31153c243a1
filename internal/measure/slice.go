package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Slice is what was measured of one system in one short stretch of time.
type Slice struct {
	Latencies []time.Duration // of an open loop, from when a call was due
	Late      []time.Duration // of an open loop: how late calls were sent, which is part of latencies
	Calls     int
	Elapsed   time.Duration
	CPU       time.Duration // of the proxies, where they are known
}

// OpenLoop makes calls at fixed times, whether or not earlier ones are answered, and counts each from when it was due:
// a stall then shows in all calls that it held up (no coordinated omission).
func OpenLoop(ctx context.Context, call func(context.Context) error, perSecond int, d time.Duration) (Slice, error) {
	n := int(d.Seconds() * float64(perSecond))
	s := Slice{Latencies: make([]time.Duration, n), Late: make([]time.Duration, n), Calls: n}
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
			s.Late[i] = time.Since(due)
			errs[i] = call(ctx)
			s.Latencies[i] = time.Since(due)
		})
	}
	wg.Wait()
	s.Elapsed = time.Since(began)
	return s, errors.Join(ctx.Err(), Summarise(errs))
}

// ClosedLoop keeps a number of connections busy: each makes its next call when the last one is answered.
func ClosedLoop(ctx context.Context, call func(context.Context) error, connections int, d time.Duration) (Slice, error) {
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
	s := Slice{Elapsed: time.Since(began)}
	for _, n := range calls {
		s.Calls += n
	}
	return s, errors.Join(ctx.Err(), Summarise(errs))
}

// Summarise is nil where no call failed. A measurement with failed calls is none: failing is fast.
func Summarise(errs []error) error {
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d calls failed, the first: %w", len(failed), len(errs), failed[0])
}
