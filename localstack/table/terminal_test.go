package table

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// terminal is as much of a terminal as a Screen relies on: it wraps, scrolls, knows three sequences, and fails the test
// at any other.
type terminal struct {
	t             *testing.T
	width, height int
	lines         []string // those scrolled out of sight too
	row, column   int
	writes        int
}

func newTerminal(t *testing.T, width, height int) *terminal {
	return &terminal{t: t, width: width, height: height, lines: []string{""}}
}

func (v *terminal) screen() *Screen {
	return &Screen{out: v, size: func() (int, int) { return v.width, v.height }, foreground: func() bool { return true }}
}

func (v *terminal) Write(p []byte) (int, error) {
	v.writes++
	for text := string(p); text != ""; {
		if sequence, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexAny(sequence, "AJm")
			if end < 0 {
				v.t.Fatalf("unknown sequence in %q", text)
			}
			v.control(sequence[:end], sequence[end])
			text = sequence[end+1:]
			continue
		}
		v.put(text[0])
		text = text[1:]
	}
	return len(p), nil
}

func (v *terminal) control(argument string, kind byte) {
	switch kind {
	case 'A':
		n, err := strconv.Atoi(argument)
		if err != nil {
			v.t.Fatal(err)
		}
		v.row = max(v.row-n, len(v.lines)-v.height, 0) // what is out of sight cannot be reached
	case 'J':
		v.lines = append(v.lines[:v.row], v.lines[v.row][:v.column])
	}
}

func (v *terminal) put(c byte) {
	switch {
	case c == '\r':
		v.column = 0
		return
	case c == '\n':
		v.down()
		return
	case c < ' ':
		v.t.Fatalf("control character %q", c)
	case v.column == v.width:
		v.down()
	}
	line := v.lines[v.row]
	v.lines[v.row] = line[:v.column] + string(c) + line[min(len(line), v.column+1):]
	v.column++
}

func (v *terminal) down() {
	v.row, v.column = v.row+1, 0
	if v.row == len(v.lines) {
		v.lines = append(v.lines, "")
	}
}

// resize makes it narrower: what is too long wraps, and the cursor stays where it is in the text.
func (v *terminal) resize(width int) {
	var lines []string
	row := v.row
	for i, line := range v.lines {
		for len(line) > width {
			lines, line = append(lines, line[:width]), line[width:]
			if i < v.row {
				row++
			}
		}
		lines = append(lines, line)
	}
	v.width, v.lines, v.row = width, lines, row
}

func (v *terminal) String() string { return strings.Join(v.lines, "\n") }

// lines is a table that says what it is told.
func lines(text ...string) func(Style) []string { return func(Style) []string { return text } }

func TestScreenKeepsTheTableBelowTheLines(t *testing.T) {
	v := newTerminal(t, 20, 6)
	s := v.screen()
	var want strings.Builder
	for i := range 30 {
		line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i))
		fmt.Fprintln(s, line)
		for ; len(line) > 20; line = line[20:] {
			want.WriteString(line[:20] + "\n")
		}
		want.WriteString(line + "\n")
		table := []string{"SERVER", fmt.Sprint("a ", i/2), "b"}[:1+i%3]
		s.Show(lines(table...))
		if got := v.String(); got != want.String()+strings.Join(table, "\n")+"\n" {
			t.Fatalf("after line %d:\n%s", i, got)
		}
	}
	s.Close()
	fmt.Fprint(s, "last")
	if got := v.String(); got != want.String()+"last\n" {
		t.Errorf("after the end:\n%s", got)
	}
}

func TestScreenIsQuietWhereNothingChanges(t *testing.T) {
	v := newTerminal(t, 20, 6)
	s := v.screen()
	s.Close()
	if v.writes != 0 {
		t.Error("something was written without a table")
	}
	for range 3 {
		s.Show(lines("a", "b"))
	}
	if v.writes != 1 {
		t.Errorf("%d writes", v.writes)
	}
	s.Show(lines("a", "c"))
	if v.writes != 2 || v.String() != "a\nc\n" {
		t.Errorf("%d writes, %q", v.writes, v.String())
	}
}

func TestScreenFollowsTheWidth(t *testing.T) {
	v := newTerminal(t, 40, 8)
	s := v.screen()
	var got Style
	wide := func(style Style) []string {
		got = style
		return []string{strings.Repeat("-", style.Width), strings.Repeat("=", min(10, style.Width))}
	}
	fmt.Fprintln(s, "before")
	s.Show(wide)
	if got != (Style{Width: 39, Height: 7}) {
		t.Errorf("drawn for %+v", got)
	}
	for _, width := range []int{13, 5, 30} {
		v.resize(width)
		s.Show(wide)
		want := strings.Repeat("-", width-1) + "\n" + strings.Repeat("=", min(10, width-1)) + "\n"
		if text := v.String(); !strings.HasSuffix(text, "\n"+want) || strings.Count(text, "-") != width-1 {
			t.Errorf("%d wide:\n%s", width, text)
		}
	}
}

func TestScreenInTheBackground(t *testing.T) {
	v := newTerminal(t, 20, 6)
	s := v.screen()
	foreground := true
	s.foreground = func() bool { return foreground }
	s.Show(lines("table"))
	foreground = false
	v.Write([]byte("$ typed by a shell\n")) // the shell that got the terminal
	s.Show(lines("other table"))
	fmt.Fprintln(s, "log")
	foreground = true
	s.Show(lines("other table"))
	if got, want := v.String(), "table\n$ typed by a shell\nlog\nother table\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScreenAfterAStop(t *testing.T) {
	v := newTerminal(t, 20, 6)
	s := v.screen()
	s.Show(lines("table"))
	v.Write([]byte("$ fg\n"))
	s.Resume()
	s.Show(lines("new table"))
	if got, want := v.String(), "table\n$ fg\nnew table\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScreenLetsNoSequencesThrough(t *testing.T) {
	v := newTerminal(t, 80, 6)
	s := v.screen()
	var out strings.Builder
	s.out = &out
	fmt.Fprint(s, "a\x1b[2Jb\rc\x07d\u009b3Je\x7f\tf\xff\n")
	if got := out.String(); got != "a?[2Jb?c?d?3Je?\tf\uFFFD\n" {
		t.Errorf("got %q", got)
	}
}

func TestVisible(t *testing.T) {
	for line, want := range map[string]int{"": 0, "abc": 3, "\x1b[1mab\x1b[0m c": 4, "\x1b[": 0} {
		if got := visible(line); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}
