package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func ms(n ...int) []time.Duration {
	var d []time.Duration
	for _, n := range n {
		d = append(d, time.Duration(n)*time.Millisecond)
	}
	return d
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[99-i] = time.Duration(i+1) * time.Millisecond
	}
	tests := []struct {
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0},
		{ms(7), 0.99, 7 * time.Millisecond},
		{ms(3, 1, 2), 0.5, 2 * time.Millisecond},
		{ms(4, 3, 1, 2), 0.5, 2 * time.Millisecond},
		{hundred, 0, time.Millisecond},
		{hundred, 0.99, 99 * time.Millisecond},
		{hundred, 1, 100 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := quantile(tt.values, tt.q); got != tt.want {
			t.Errorf("quantile(%v, %g) = %v, want %v", tt.values, tt.q, got, tt.want)
		}
	}
}

func TestStatisticsPoolSlices(t *testing.T) {
	parts := []slice{
		{latencies: ms(1, 9), calls: 10, cpu: 2 * time.Millisecond, elapsed: time.Second},
		{latencies: ms(5), calls: 30, cpu: 2 * time.Millisecond, elapsed: 3 * time.Second},
	}
	for name, got := range map[string][2]float64{
		"p50":        {percentile(0.5)(parts), 5},
		"p99":        {percentile(0.99)(parts), 9},
		"median p99": {medianP99(parts), 5},
		"cpu":        {cpuPerCall(parts), 100},
		"throughput": {callsPerSecond(parts), 10},
	} {
		if math.Abs(got[0]-got[1]) > 1e-9 {
			t.Errorf("%s = %g, want %g", name, got[0], got[1])
		}
	}
}

func TestCompare(t *testing.T) {
	var ours, reference []slice
	for i := range 30 {
		ours = append(ours, slice{latencies: ms(20+i%3, 22+i%5)})
		reference = append(reference, slice{latencies: ms(10+i%3, 11+i%5)})
	}
	r := compare(ours, reference, percentile(0.5))
	if r.value < 1.6 || r.value > 2 || r.low > r.value || r.high < r.value || r.high-r.low > 0.5 || r.low == r.high {
		t.Errorf("ratio = %+v, want near 1.8 in a narrow interval around it", r)
	}
	if same := compare(ours, ours, percentile(0.5)); same != (estimate{1, 1, 1}) {
		t.Errorf("ratio with itself = %+v: rounds are not drawn in pairs", same)
	}
	if d := added(ours, reference, percentile(0.5)); d.value < 8 || d.value > 11 || d.low > d.value || d.high < d.value {
		t.Errorf("difference = %+v, want near 10 ms in an interval around it", d)
	}
	if none := added(ours, ours, percentile(0.5)); none != (estimate{}) {
		t.Errorf("difference from itself = %+v", none)
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		value, limit float64
		atLeast      bool
		want         string
		missed       int
	}{
		{value: 1.3, limit: 1.3, want: "at most 1.3: met"},
		{value: 1.31, limit: 1.3, want: "at most 1.3: MISSED", missed: 1},
		{value: 0.7, limit: 0.7, atLeast: true, want: "at least 0.7: met"},
		{value: 0.69, limit: 0.7, atLeast: true, want: "at least 0.7: MISSED", missed: 1},
		{value: math.NaN(), limit: 1.3, want: "at most 1.3: MISSED", missed: 1},
		{value: 99},
	}
	for _, tt := range tests {
		var p printer
		if got := p.verdict(tt.value, tt.limit, tt.atLeast); got != tt.want || p.missed != tt.missed {
			t.Errorf("verdict(%g, %g) = %q, missed %d; want %q, %d", tt.value, tt.limit, got, p.missed, tt.want, tt.missed)
		}
	}
}

func TestPrinterShowsAllSystems(t *testing.T) {
	s := &systems{direct: &system{}, reference: &system{}, ours: &system{}}
	parts := map[*system][]slice{
		s.direct: {{latencies: ms(1)}}, s.reference: {{latencies: ms(2)}}, s.ours: {{latencies: ms(5)}}}
	var out strings.Builder
	p := printer{out: &out}
	s.compare(&p, figure{name: "p50, ms", of: percentile(0.5), limit: 1.3}, parts)
	const want = "p50, ms                                1.00      2.00      5.00   2.50 (2.50 to 2.50)   at most 1.3: MISSED\n"
	if out.String() != want || p.missed != 1 {
		t.Errorf("printed %q, missed %d; want %q", &out, p.missed, want)
	}
}

func TestPrinterShowsPairs(t *testing.T) {
	var out strings.Builder
	p := printer{out: &out}
	one, three := []slice{{latencies: ms(1)}}, []slice{{latencies: ms(3)}}
	p.ratio(figure{name: "p50, ms", of: percentile(0.5), limit: 1.2}, one, three)
	p.added(figure{name: "p50, ms", of: percentile(0.5), limit: 2}, one, three)
	const want = "p50, ms                                     1.00      3.00   3.00 (3.00 to 3.00)   at most 1.2: MISSED\n" +
		"p50, ms                                     1.00      3.00   2.00 (2.00 to 2.00)   at most 2: met\n"
	if out.String() != want || p.missed != 1 {
		t.Errorf("printed %q, missed %d; want %q", &out, p.missed, want)
	}
}
