package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Statistic is one figure of all slices of a system.
type Statistic func([]Slice) float64

// Percentile makes the statistic of latencies in milliseconds; q is between 0 and 1.
func Percentile(q float64) Statistic {
	return func(slices []Slice) float64 {
		var all []time.Duration
		for _, s := range slices {
			all = append(all, s.Latencies...)
		}
		return Quantile(all, q).Seconds() * 1e3
	}
}

// MedianP99 is what p99 is in most slices, in milliseconds: what else the machine did in a few of them does not show, and
// neither does a stall of ours that comes seldom.
func MedianP99(parts []Slice) float64 {
	var each []time.Duration
	for _, s := range parts {
		each = append(each, Quantile(s.Latencies, 0.99))
	}
	return Quantile(each, 0.5).Seconds() * 1e3
}

// Quantile is the nearest-rank quantile.
func Quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// CPUPerCall is in microseconds.
func CPUPerCall(slices []Slice) float64 {
	var cpu time.Duration
	calls := 0
	for _, s := range slices {
		cpu += s.CPU
		calls += s.Calls
	}
	return cpu.Seconds() * 1e6 / float64(calls)
}

// CallsPerSecond is the throughput.
func CallsPerSecond(slices []Slice) float64 {
	var elapsed time.Duration
	calls := 0
	for _, s := range slices {
		elapsed += s.Elapsed
		calls += s.Calls
	}
	return float64(calls) / elapsed.Seconds()
}

// resamples is how often the bootstrap draws: enough for the second digit of a 95 % interval.
const resamples = 1000

// Estimate is a figure with its 95 % interval.
type Estimate struct{ Value, Low, High float64 }

// Compare computes a statistic of ours divided by the reference's.
func Compare(ours, reference []Slice, of Statistic) Estimate {
	return estimateOf(ours, reference, func(a, b []Slice) float64 { return of(a) / of(b) })
}

// Added computes by how much a statistic of ours is more than the reference's.
func Added(ours, reference []Slice, of Statistic) Estimate {
	return estimateOf(ours, reference, func(a, b []Slice) float64 { return of(a) - of(b) })
}

// estimateOf draws rounds with replacement, whole and in pairs, for calls of one slice are not independent of each other
// and both slices of a round saw the same machine.
func estimateOf(ours, reference []Slice, of func(a, b []Slice) float64) Estimate {
	drawn := make([]float64, resamples)
	a, b := make([]Slice, len(ours)), make([]Slice, len(ours))
	for i := range drawn {
		for j := range a {
			n := rand.IntN(len(ours))
			a[j], b[j] = ours[n], reference[n]
		}
		drawn[i] = of(a, b)
	}
	slices.Sort(drawn)
	return Estimate{Value: of(ours, reference), Low: drawn[resamples/40], High: drawn[resamples-1-resamples/40]}
}
