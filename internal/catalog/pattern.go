package catalog

import (
	"regexp"
	"sync"
)

// pattern is the form of a text, as a regular expression. It is compiled when it is first needed: repetitions of hundreds
// take milliseconds, which every function would pay at its start.
type pattern struct {
	text     string
	compiled func() *regexp.Regexp
}

func newPattern(text string) *pattern {
	return &pattern{text, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
}

// MatchString tells whether the text has a match.
func (p *pattern) MatchString(text string) bool { return p.compiled().MatchString(text) }

// String is the expression.
func (p *pattern) String() string { return p.text }
