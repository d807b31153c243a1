package unitlog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLineLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxLine+10)
	go func() {
		defer w.Close()
		for i := range 30 {
			fmt.Fprintf(w, "line %d\n", i)
		}
		fmt.Fprint(w, long+"\n\nlast without newline")
	}()
	var last Last
	path := filepath.Join(t.TempDir(), "x.log")
	(&Lines{File: NewFile(path), Prefix: "id ", Unit: "server", Last: &last}).Copy(r)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 34 || !strings.HasSuffix(lines[33], "Z id last without newline") || !strings.HasSuffix(lines[0], "Z id line 0") {
		t.Errorf("%d lines, from %.60q to %.60q", len(lines), lines[0], lines[len(lines)-1])
	}
	kept := last.All()
	if len(kept) != lastKept || kept[len(kept)-1] != "server: last without newline" {
		t.Errorf("kept %d lines, the last %q", len(kept), kept[len(kept)-1])
	}
	for _, line := range kept {
		if len(line) > lastLineBytes+len("server: ") {
			t.Errorf("kept a line of %d bytes", len(line))
		}
	}
}

// Whatever a unit prints, the log has its bytes, in lines of bounded length that say whose they are.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nlast"), 3)
	f.Add(bytes.Repeat([]byte("x"), 100), 1)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, printed []byte, repeat int) {
		if repeat = max(1, repeat%64); len(printed) > 16<<10 {
			return
		}
		printed = bytes.Repeat(printed, repeat)
		path := filepath.Join(dir, "unit.log")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var last Last
		(&Lines{File: NewFile(path), Prefix: "id ", Unit: "u", Last: &last}).Copy(bytes.NewReader(printed))
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var said []byte
		for line := range bytes.Lines(written) {
			stamp, rest, ok := bytes.Cut(line, []byte("Z id "))
			if _, err := time.Parse("2006-01-02T15:04:05.000", string(stamp)); !ok || err != nil || len(rest) > maxLine+1 {
				t.Fatalf("%q was logged as %q", printed, line)
			}
			if said = append(said, rest...); len(rest) == maxLine+1 {
				said = said[:len(said)-1] // a piece of a longer line
			}
		}
		if want := bytes.TrimSuffix(printed, []byte("\n")); !bytes.Equal(bytes.TrimSuffix(said, []byte("\n")), want) && len(printed) > 0 {
			t.Fatalf("%q was logged as %q", printed, said)
		}
		if lines := last.All(); len(lines) > lastKept || len(lines) > 0 && len(lines[0]) > lastLineBytes+3 {
			t.Fatalf("%d last lines are kept: %q", len(lines), lines)
		}
	})
}
