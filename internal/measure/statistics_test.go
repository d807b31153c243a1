package measure

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
		if got := Quantile(tt.values, tt.q); got != tt.want {
			t.Errorf("Quantile(%v, %g) = %v, want %v", tt.values, tt.q, got, tt.want)
		}
	}
}

func TestStatisticsPoolSlices(t *testing.T) {
	parts := []Slice{
		{Latencies: ms(1, 9), Calls: 10, CPU: 2 * time.Millisecond, Elapsed: time.Second},
		{Latencies: ms(5), Calls: 30, CPU: 2 * time.Millisecond, Elapsed: 3 * time.Second},
	}
	for name, got := range map[string][2]float64{
		"p50":        {Percentile(0.5)(parts), 5},
		"p99":        {Percentile(0.99)(parts), 9},
		"median p99": {MedianP99(parts), 5},
		"cpu":        {CPUPerCall(parts), 100},
		"throughput": {CallsPerSecond(parts), 10},
	} {
		if math.Abs(got[0]-got[1]) > 1e-9 {
			t.Errorf("%s = %g, want %g", name, got[0], got[1])
		}
	}
}

func TestCompare(t *testing.T) {
	var ours, reference []Slice
	for i := range 30 {
		ours = append(ours, Slice{Latencies: ms(20+i%3, 22+i%5)})
		reference = append(reference, Slice{Latencies: ms(10+i%3, 11+i%5)})
	}
	r := Compare(ours, reference, Percentile(0.5))
	if r.Value < 1.6 || r.Value > 2 || r.Low > r.Value || r.High < r.Value || r.High-r.Low > 0.5 || r.Low == r.High {
		t.Errorf("ratio = %+v, want near 1.8 in a narrow interval around it", r)
	}
	if same := Compare(ours, ours, Percentile(0.5)); same != (Estimate{1, 1, 1}) {
		t.Errorf("ratio with itself = %+v: rounds are not drawn in pairs", same)
	}
	if d := Added(ours, reference, Percentile(0.5)); d.Value < 8 || d.Value > 11 || d.Low > d.Value || d.High < d.Value {
		t.Errorf("difference = %+v, want near 10 ms in an interval around it", d)
	}
	if none := Added(ours, ours, Percentile(0.5)); none != (Estimate{}) {
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
		var p Printer
		if got := p.Verdict(tt.value, tt.limit, tt.atLeast); got != tt.want || p.Missed != tt.missed {
			t.Errorf("verdict(%g, %g) = %q, missed %d; want %q, %d", tt.value, tt.limit, got, p.Missed, tt.want, tt.missed)
		}
	}
}

func TestPrinterShowsPairs(t *testing.T) {
	var out strings.Builder
	p := Printer{Out: &out}
	one, three := []Slice{{Latencies: ms(1)}}, []Slice{{Latencies: ms(3)}}
	p.Ratio(Figure{Name: "p50, ms", Of: Percentile(0.5), Limit: 1.2}, one, three)
	p.Added(Figure{Name: "p50, ms", Of: Percentile(0.5), Limit: 2}, one, three)
	const want = "p50, ms                                     1.00      3.00   3.00 (3.00 to 3.00)   at most 1.2: MISSED\n" +
		"p50, ms                                     1.00      3.00   2.00 (2.00 to 2.00)   at most 2: met\n"
	if out.String() != want || p.Missed != 1 {
		t.Errorf("printed %q, missed %d; want %q", &out, p.Missed, want)
	}
}
