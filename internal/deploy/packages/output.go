package packages

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what an install prints, in bytes and lines.
const (
	maxLine     = 400
	maxPrinted  = 2000 // lines that are logged; a script can print for as long as it likes
	maxLast     = 100
	maxSentence = 400
)

// output takes what an install prints, line by line. It is written to by one goroutine.
type output struct {
	print   func(line string)
	printed int
	line    []byte   // of which the end has not come; cut at maxLine
	last    []string // the last lines
}

// Write implements io.Writer. It never fails.
func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexAny(p, "\r\n")
		part := p
		if i >= 0 {
			part = p[:i]
		}
		o.line = append(o.line, part[:min(len(part), max(0, 2*maxLine-len(o.line)))]...)
		if i < 0 {
			return n, nil
		}
		o.end()
		p = p[i+1:]
	}
}

// end ends a line.
func (o *output) end() {
	line := tidy(string(o.line))
	o.line = o.line[:0]
	if strings.TrimSpace(line) == "" {
		return
	}
	if len(o.last) == maxLast {
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, line)
	switch o.printed++; {
	case o.printed <= maxPrinted:
		o.print(line)
	case o.printed == maxPrinted+1:
		o.print("and more lines, which are not shown")
	}
}

var (
	credentials = regexp.MustCompile(`://[^/\s@]*@`)
	colours     = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
)

// tidy makes a line fit for a log: printable, bounded, and without the credentials of an address.
func tidy(line string) string {
	line = colours.ReplaceAllString(strings.ToValidUTF8(line, "?"), "")
	line = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, line)
	return clip(strings.TrimRight(credentials.ReplaceAllString(line, "://***@"), " "), maxLine)
}

// clip cuts text to n bytes, between characters.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// private is what must not get into a sentence for callers: an address, or a path of this machine.
var private = regexp.MustCompile(`://|(^|[\s"'(=])[/~\\]|[A-Za-z]:\\|file:`)
