package table

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Screen is a terminal on which lines scroll by above a table. It writes the table below the last line, and before the
// next line takes it away again: it moves the cursor within what it wrote itself and needs nothing that a terminal
// would have to be given back. Its methods may be called concurrently.
type Screen struct {
	out        io.Writer
	size       func() (width, height int)
	foreground func() bool // only then the terminal is ours to move the cursor on
	color      bool

	mu     sync.Mutex
	table  func(Style) []string // nil: none is wanted
	drawn  []string             // the lines of the table above the cursor
	within int                  // the width that they were drawn for
}

// Supported reports whether a table can be shown on a file: on a terminal that knows how to move the cursor.
func Supported(f *os.File) bool {
	kind := os.Getenv("TERM")
	return kind != "" && kind != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Same reports whether two files are the same terminal.
func Same(a, b *os.File) bool {
	one, err := a.Stat()
	other, err2 := b.Stat()
	return err == nil && err2 == nil && os.SameFile(one, other)
}

// NewScreen returns a Screen on a terminal.
func NewScreen(f *os.File) *Screen {
	fd := int(f.Fd())
	return &Screen{
		out:   f,
		color: os.Getenv("NO_COLOR") == "", // no-color.org
		size: func() (int, int) {
			width, height, err := term.GetSize(fd)
			if err != nil || width <= 0 || height <= 0 {
				return 80, 24
			}
			return width, height
		},
		foreground: func() bool {
			group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
			return err != nil || group == unix.Getpgrp() // no terminal that controls us: no shell that uses it too
		},
	}
}

// Write implements io.Writer. It takes whole lines; one without an end gets it. Control characters do not reach the
// terminal: what a server or a caller brought into a log must move no cursor.
func (s *Screen) Write(p []byte) (int, error) {
	text := strings.Map(printable, string(p))
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.redraw(text); err != nil {
		return 0, err
	}
	return len(p), nil
}

func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' {
		return '?'
	}
	return r
}

// Show keeps a table on the screen, and draws it where it differs from what is there.
func (s *Screen) Show(table func(Style) []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = table
	_ = s.redraw("") // a terminal that is gone is noticed by whoever writes lines
}

// Resume draws the table anew below the cursor. It is for a process that was stopped: others have written meanwhile.
func (s *Screen) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = nil
	_ = s.redraw("")
}

// Close takes the table away. Lines may still be written.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = nil
	_ = s.redraw("")
}

// redraw writes text where the table was, and the table below it: in one write, or it would flicker.
func (s *Screen) redraw(text string) error {
	if !s.foreground() {
		s.drawn = nil
		_, err := io.WriteString(s.out, text)
		return err
	}
	width, height := s.size()
	var lines []string
	if s.table != nil {
		// The last column stays free, since terminals differ in where the cursor is after it; so does the last line.
		lines = s.table(Style{Width: max(1, width-1), Height: max(1, height-1), Color: s.color})
	}
	if text == "" && width == s.within && slices.Equal(lines, s.drawn) {
		return nil
	}
	var b strings.Builder
	if up := s.occupied(width); up > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA\x1b[J", up)
	}
	b.WriteString(text)
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	s.drawn, s.within = lines, width
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}

// occupied is how many lines of the terminal the table fills. One that has become narrower wraps what it shows.
func (s *Screen) occupied(width int) int {
	n := 0
	for _, line := range s.drawn {
		n += max(1, (visible(line)+width-1)/width)
	}
	return n
}

// visible is the width of a line without its attributes.
func visible(line string) int {
	n := 0
	for {
		before, rest, found := strings.Cut(line, "\x1b[")
		n += len(before)
		if !found {
			return n
		}
		_, line, _ = strings.Cut(rest, "m")
	}
}
