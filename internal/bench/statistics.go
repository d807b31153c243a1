package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// statistic is one figure of all slices of a system.
type statistic func([]slice) float64

// percentile makes the statistic of latencies in milliseconds; q is between 0 and 1.
func percentile(q float64) statistic {
	return func(slices []slice) float64 {
		var all []time.Duration
		for _, s := range slices {
			all = append(all, s.latencies...)
		}
		return quantile(all, q).Seconds() * 1e3
	}
}

// medianP99 is what p99 is in most slices, in milliseconds: what else the machine did in a few of them does not show, and
// neither does a stall of ours that comes seldom.
func medianP99(parts []slice) float64 {
	var each []time.Duration
	for _, s := range parts {
		each = append(each, quantile(s.latencies, 0.99))
	}
	return quantile(each, 0.5).Seconds() * 1e3
}

// quantile is the nearest-rank quantile.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// cpuPerCall is in microseconds.
func cpuPerCall(slices []slice) float64 {
	var cpu time.Duration
	calls := 0
	for _, s := range slices {
		cpu += s.cpu
		calls += s.calls
	}
	return cpu.Seconds() * 1e6 / float64(calls)
}

// callsPerSecond is the throughput.
func callsPerSecond(slices []slice) float64 {
	var elapsed time.Duration
	calls := 0
	for _, s := range slices {
		elapsed += s.elapsed
		calls += s.calls
	}
	return float64(calls) / elapsed.Seconds()
}

// resamples is how often the bootstrap draws: enough for the second digit of a 95 % interval.
const resamples = 1000

// estimate is a figure with its 95 % interval.
type estimate struct{ value, low, high float64 }

// compare computes a statistic of ours divided by the reference's.
func compare(ours, reference []slice, of statistic) estimate {
	return estimateOf(ours, reference, func(a, b []slice) float64 { return of(a) / of(b) })
}

// added computes by how much a statistic of ours is more than the reference's.
func added(ours, reference []slice, of statistic) estimate {
	return estimateOf(ours, reference, func(a, b []slice) float64 { return of(a) - of(b) })
}

// estimateOf draws rounds with replacement, whole and in pairs, for calls of one slice are not independent of each other
// and both slices of a round saw the same machine.
func estimateOf(ours, reference []slice, of func(a, b []slice) float64) estimate {
	drawn := make([]float64, resamples)
	a, b := make([]slice, len(ours)), make([]slice, len(ours))
	for i := range drawn {
		for j := range a {
			n := rand.IntN(len(ours))
			a[j], b[j] = ours[n], reference[n]
		}
		drawn[i] = of(a, b)
	}
	slices.Sort(drawn)
	return estimate{value: of(ours, reference), low: drawn[resamples/40], high: drawn[resamples-1-resamples/40]}
}
