package main

import (
	"fmt"
	"io"
)

// figure is a statistic that is compared with the reference.
type figure struct {
	name    string
	of      statistic
	limit   float64 // of the ratio; 0: none
	atLeast bool    // limit is the least, not the most
}

// printer prints lines of results and counts missed thresholds.
type printer struct {
	out    io.Writer
	missed int
}

func (p *printer) head() {
	fmt.Fprintf(p.out, "\n%-33s %9s %9s %9s   %-21s %s\n", "", "direct", "reference", "ours", "ratio (95 %)", "threshold")
}

// compare prints a figure of all three systems and whether the ratio of ours to the reference keeps its limit.
func (s *systems) compare(p *printer, f figure, parts map[*system][]slice) {
	r := compare(parts[s.ours], parts[s.reference], f.of)
	fmt.Fprintf(p.out, "%-33s %9.2f %9.2f %9.2f   %.2f (%.2f to %.2f)   %s\n", f.name, f.of(parts[s.direct]), f.of(parts[s.reference]),
		f.of(parts[s.ours]), r.value, r.low, r.high, p.verdict(r.value, f.limit, f.atLeast))
}

// pair heads lines of two that are compared in the same run.
func (p *printer) pair(base, other, how string) {
	fmt.Fprintf(p.out, "\n%-38s %9s %9s   %-21s %s\n", "", base, other, how+" (95 %)", "threshold")
}

// ratio prints a figure of both, and the second's divided by the first's.
func (p *printer) ratio(f figure, base, other []slice) {
	p.both(f, base, other, compare(other, base, f.of))
}

// added prints a figure of both, and by how much the second is more.
func (p *printer) added(f figure, base, other []slice) {
	p.both(f, base, other, added(other, base, f.of))
}

func (p *printer) both(f figure, base, other []slice, e estimate) {
	fmt.Fprintf(p.out, "%-38s %9.2f %9.2f   %-21s %s\n", f.name, f.of(base), f.of(other),
		fmt.Sprintf("%.2f (%.2f to %.2f)", e.value, e.low, e.high), p.verdict(e.value, f.limit, f.atLeast))
}

// perListener prints memory without listeners and with them, and what that is for each, in KB of 1,000 bytes.
func (p *printer) perListener(name string, without, with, limit float64) {
	each := (with - without) * 1e3 / listenerCount
	fmt.Fprintf(p.out, "%-38s %9.2f %9.2f   %-21s %s\n", name, without, with, fmt.Sprintf("%.1f KB each", each), p.verdict(each, limit, false))
}

// single prints a figure of ours alone. limit is the most; 0: none.
func (p *printer) single(name string, value, limit float64) {
	fmt.Fprintf(p.out, "%-33s %29.2f   %-21s %s\n", name, value, "", p.verdict(value, limit, false))
}

func (p *printer) verdict(value, limit float64, atLeast bool) string {
	word, met := "at most", value <= limit
	if atLeast {
		word, met = "at least", value >= limit
	}
	switch {
	case limit == 0:
		return ""
	case met:
		return fmt.Sprintf("%s %g: met", word, limit)
	}
	p.missed++
	return fmt.Sprintf("%s %g: MISSED", word, limit)
}

func (p *printer) note(format string, args ...any) {
	fmt.Fprintf(p.out, "  "+format+"\n", args...)
}
