package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is what one profile came to: direct, and on each way through us.
type table struct {
	profile profile
	direct  results
	columns []column
}

type column struct {
	way     way
	through results
}

// report prints the scenarios and returns the problems: checks that pass direct and not through us.
func (t table) report(w io.Writer) (problems []string) {
	out := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(out, "%s, %s\tdirect", t.profile.revision, t.profile.server)
	var lost []loss
	for _, c := range t.columns {
		fmt.Fprintf(out, "\t%s", c.way.name)
		lost = append(lost, c.losses(t.direct)...)
	}
	fmt.Fprintln(out, "\t")
	for _, scenario := range slices.Sorted(maps.Keys(t.direct)) {
		fmt.Fprintf(out, "%s\t%s", scenario, scoreOf(t.direct[scenario]))
		var marks []string
		for _, c := range t.columns {
			fmt.Fprintf(out, "\t%s", scoreOf(c.through[scenario]))
			if slices.ContainsFunc(lost, func(l loss) bool { return l.scenario == scenario && l.way == c.way.name }) {
				marks = append(marks, "<- fails through "+c.way.name)
			}
		}
		fmt.Fprintf(out, "\t%s\n", strings.Join(marks, " "))
	}
	fmt.Fprintf(out, "total\t%s", t.direct.total())
	for _, c := range t.columns {
		fmt.Fprintf(out, "\t%s", c.through.total())
	}
	fmt.Fprintln(out, "\t")
	out.Flush()
	for _, l := range lost {
		line := fmt.Sprintf("%s, %s, %s: %s", l.way, l.scenario, l.check, l.message)
		if l.excuse != "" {
			fmt.Fprintf(w, "%s (excused: %s)\n", line, l.excuse)
		} else {
			problems = append(problems, t.profile.revision+", "+line)
		}
	}
	fmt.Fprintln(w)
	return problems
}

// losses are the column's, each with its excuse if it has one.
func (c column) losses(direct results) []loss {
	lost := losses(direct, c.through)
	for i := range lost {
		l := &lost[i]
		l.way, l.excuse = c.way.name, c.way.excused[l.scenario]
		if l.excuse == "" && l.warned {
			l.excuse = c.way.warned[l.check]
		}
	}
	return lost
}
