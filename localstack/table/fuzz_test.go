package table

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a server or a caller brought into a log, it moves no cursor and hides no line, and the table stays below it.
func FuzzScreen(f *testing.F) {
	f.Add("one\ntwo", uint8(20))
	f.Add("\x1b[2Jx\r\x1b]0;title\a\n", uint8(3))
	f.Add("a\u009bA\x7f\xff\t\u2028", uint8(0))
	f.Add(strings.Repeat("long ", 30)+"\n\n", uint8(7))
	f.Fuzz(func(t *testing.T, log string, wide uint8) {
		var out strings.Builder
		plain := &Screen{out: &out, size: func() (int, int) { return 80, 24 }, foreground: func() bool { return true }}
		if n, err := plain.Write([]byte(log)); n != len(log) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(log), err)
		}
		got := out.String()
		if !utf8.ValidString(got) || !strings.HasSuffix(got, "\n") || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Fatalf("%q is written as %q", log, got)
		}
		if utf8.RuneCountInString(strings.TrimSuffix(got, "\n")) != utf8.RuneCountInString(strings.TrimSuffix(log, "\n")) {
			t.Fatalf("%q lost something: %q", log, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r > '~' || r == '\t' }) {
			return // the terminal below knows ASCII only
		}
		v := newTerminal(t, 2+int(wide)%100, 9)
		s := v.screen()
		s.Show(lines("x"))
		if _, err := s.Write([]byte(log)); err != nil {
			t.Fatal(err)
		}
		s.Show(lines("a", "b"))
		if want := wrapped(got, v.width) + "a\nb\n"; v.String() != want {
			t.Fatalf("%q is shown as %q, want %q", log, v, want)
		}
	})
}

// wrapped is a text as a terminal shows it.
func wrapped(text string, width int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		for ; len(strings.TrimSuffix(line, "\n")) > width; line = line[width:] {
			out.WriteString(line[:width] + "\n")
		}
		out.WriteString(line)
	}
	return out.String()
}
