package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"mcpgateway/internal/measure"
)

// singles is how often one server is woken alone, to compare with.
const singles = 5

// manyIDs are the servers that are woken at once.
func (r *rig) manyIDs() []string {
	ids := make([]string, r.many)
	for i := range ids {
		ids[i] = fmt.Sprintf("many-%d", i)
	}
	return ids
}

// many wakes one server of ours, then many at once, and as many bare services.
func many(ctx context.Context, p *measure.Printer, r *rig, rounds int) error {
	var bare, ours []target
	if err := r.offer(append(r.manyIDs(), serverID)...); err != nil {
		return err
	}
	for _, id := range r.manyIDs() {
		b, err := r.bare(ctx, id)
		if err != nil {
			return err
		}
		o, err := r.ours(id)
		if err != nil {
			return err
		}
		bare, ours = append(bare, b), append(ours, o)
	}
	if err := r.awaitGone(ctx, append(bare, ours...)...); err != nil {
		return err
	}
	alone, together, platform := measure.Slice{}, []measure.Slice{}, []measure.Slice{}
	for range singles {
		part, err := r.atOnce(ctx, ours[:1])
		if err != nil {
			return err
		}
		alone.Latencies = append(alone.Latencies, part.Latencies...)
		if err := r.awaitZero(ctx, ours[0]); err != nil {
			return err
		}
	}
	for round := range rounds {
		for i := range 2 {
			to, all := &platform, bare
			if (i+round)%2 == 1 {
				to, all = &together, ours
			}
			part, err := r.atOnce(ctx, all)
			if err != nil {
				return err
			}
			*to = append(*to, part)
			if err := r.awaitGone(ctx, all...); err != nil {
				return err
			}
		}
	}
	r.printMany(p, alone, platform, together)
	return nil
}

// atOnce wakes services in the same moment. That one is not answered is an error.
func (r *rig) atOnce(ctx context.Context, all []target) (measure.Slice, error) {
	s := measure.Slice{Latencies: make([]time.Duration, len(all)), Calls: len(all)}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	began := time.Now()
	for i, t := range all {
		wg.Go(func() {
			at, err := t.call.FirstByte(ctx)
			s.Latencies[i], errs[i] = at.Sub(began), err
		})
	}
	wg.Wait()
	s.Elapsed = time.Since(began)
	if err := measure.Summarise(errs); err != nil {
		return s, fmt.Errorf("%d woken at once: %w", len(all), err)
	}
	return s, nil
}

func (r *rig) printMany(p *measure.Printer, alone measure.Slice, bare, ours []measure.Slice) {
	one := []measure.Slice{alone}
	p.Pair("bare", "ours", "ratio")
	p.Ratio(measure.Figure{Name: fmt.Sprintf("%d woken at once, median, ms", r.many), Of: measure.Percentile(0.5)}, bare, ours)
	p.Ratio(measure.Figure{Name: "the same, p95, ms", Of: measure.Percentile(0.95)}, bare, ours)
	p.Ratio(measure.Figure{Name: "the same, longest, ms", Of: measure.Percentile(1)}, bare, ours)
	median, p95 := measure.Percentile(0.5)(one), measure.Percentile(0.95)(ours)
	p.Single("one woken alone, median, ms", median, 0)
	p.Note("all %d were answered, %d times; their p95 is %.1f times one wake", r.many, len(ours), p95/median)
}
