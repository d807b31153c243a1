package main

import (
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/measure"
)

func TestPrinterShowsAllSystems(t *testing.T) {
	s := &systems{direct: &system{}, reference: &system{}, ours: &system{}}
	parts := map[*system][]measure.Slice{
		s.direct: {{Latencies: []time.Duration{1 * time.Millisecond}}}, s.reference: {{Latencies: []time.Duration{2 * time.Millisecond}}}, s.ours: {{Latencies: []time.Duration{5 * time.Millisecond}}}}
	var out strings.Builder
	p := measure.Printer{Out: &out}
	s.compare(&p, measure.Figure{Name: "p50, ms", Of: measure.Percentile(0.5), Limit: 1.3}, parts)
	const want = "p50, ms                                1.00      2.00      5.00   2.50 (2.50 to 2.50)   at most 1.3: MISSED\n"
	if out.String() != want || p.Missed != 1 {
		t.Errorf("printed %q, missed %d; want %q", &out, p.Missed, want)
	}
}
