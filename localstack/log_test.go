package localstack

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestLogKeepsLinesWhole(t *testing.T) {
	var out bytes.Buffer
	l := &log{out: &out}
	var all sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		all.Go(func() {
			w := l.writer(name)
			for range 100 {
				for _, part := range []string{"one ", "line\nand ", "another\n\n", "rest", "\n"} {
					fmt.Fprint(w, part)
				}
			}
			fmt.Fprint(w, "last")
			w.Close()
		})
	}
	all.Wait()
	want := strings.Repeat("one line\nand another\n\nrest\n", 100) + "last\n"
	for _, name := range []string{"a", "b"} {
		var got strings.Builder
		for line := range strings.Lines(out.String()) {
			if rest, ok := strings.CutPrefix(line, name+"              | "); ok {
				got.WriteString(rest)
			}
		}
		if got.String() != want {
			t.Errorf("%s: got %.300q", name, got.String())
		}
	}
}

func TestLogCutsEndlessLines(t *testing.T) {
	var out bytes.Buffer
	w := (&log{out: &out}).writer("a")
	for range 10 {
		fmt.Fprint(w, strings.Repeat("x", maxLine/4))
	}
	w.Close()
	if n := strings.Count(out.String(), "x"); n != 10*maxLine/4 {
		t.Errorf("%d of %d bytes", n, 10*maxLine/4)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > maxLine+20 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// However a program writes, its lines come out in order and whole, each behind its name.
func FuzzLog(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nlast"), 3)
	f.Add([]byte("\n"), 1)
	f.Fuzz(func(t *testing.T, printed []byte, size int) {
		if len(printed) >= maxLine {
			return
		}
		var out bytes.Buffer
		w := (&log{out: &out}).writer("a")
		for rest := printed; len(rest) > 0; {
			n := min(max(1, size), len(rest))
			if took, err := w.Write(rest[:n]); took != n || err != nil {
				t.Fatalf("took %d of %d, %v", took, n, err)
			}
			rest = rest[n:]
		}
		w.Close()
		want := ""
		for line := range strings.Lines(string(printed)) {
			want += fmt.Sprintf("%-14s | %s\n", "a", strings.TrimSuffix(line, "\n"))
		}
		if out.String() != want {
			t.Fatalf("%q by %d became %q", printed, size, &out)
		}
	})
}
