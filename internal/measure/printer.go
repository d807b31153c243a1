// Package measure makes and prints what is said of performance: calls at fixed times or as fast as they go, statistics with
// 95 % intervals from pairs that met the same machine, and lines that say whether a limit is kept.
//
// It starts nothing; what is called, and in which order, is its callers' business.
package measure

import (
	"fmt"
	"io"
)

// Figure is a statistic that is compared with the reference.
type Figure struct {
	Name    string
	Of      Statistic
	Limit   float64 // of the ratio; 0: none
	AtLeast bool    // Limit is the least, not the most
}

// Printer prints lines of results and counts missed thresholds.
type Printer struct {
	Out    io.Writer
	Missed int
}

// Pair heads lines of two that are compared in the same run.
func (p *Printer) Pair(base, other, how string) {
	fmt.Fprintf(p.Out, "\n%-38s %9s %9s   %-21s %s\n", "", base, other, how+" (95 %)", "threshold")
}

// Ratio prints a figure of both, and the second's divided by the first's.
func (p *Printer) Ratio(f Figure, base, other []Slice) {
	p.both(f, base, other, Compare(other, base, f.Of))
}

// Added prints a figure of both, and by how much the second is more.
func (p *Printer) Added(f Figure, base, other []Slice) {
	p.both(f, base, other, Added(other, base, f.Of))
}

func (p *Printer) both(f Figure, base, other []Slice, e Estimate) {
	fmt.Fprintf(p.Out, "%-38s %9.2f %9.2f   %-21s %s\n", f.Name, f.Of(base), f.Of(other),
		fmt.Sprintf("%.2f (%.2f to %.2f)", e.Value, e.Low, e.High), p.Verdict(e.Value, f.Limit, f.AtLeast))
}

// Single prints a figure of ours alone. limit is the most; 0: none.
func (p *Printer) Single(name string, value, limit float64) {
	fmt.Fprintf(p.Out, "%-33s %29.2f   %-21s %s\n", name, value, "", p.Verdict(value, limit, false))
}

// Verdict says whether a figure keeps its limit, "" where it has none: 0. atLeast: the limit is the least, not the most.
func (p *Printer) Verdict(value, limit float64, atLeast bool) string {
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
	p.Missed++
	return fmt.Sprintf("%s %g: MISSED", word, limit)
}

// Note prints a sentence below figures.
func (p *Printer) Note(format string, args ...any) {
	fmt.Fprintf(p.Out, "  "+format+"\n", args...)
}
