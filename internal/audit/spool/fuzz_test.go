package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in the folder of a process that was killed, what can be read of it is delivered, once and in order, and
// what is added comes after it.
func FuzzRecover(f *testing.F) {
	whole := appendFrame(appendFrame(nil, record(1)), record(2))
	slot := func(m string) []byte {
		framed := appendFrame(nil, []byte(m))
		return append(bytes.Repeat([]byte{' '}, slotBytes-len(framed)), framed...)
	}
	f.Add(whole, []byte{}, []byte{})
	f.Add(whole, whole[:len(whole)-5], slot(`{"count":3,"delivered":{"segment":1,"offset":24},"sending":{"segment":2,"offset":10}}`))
	f.Add([]byte("x\n\n\n"), whole, append(slot(`{"count":4,"delivered":{"segment":2}}`), slot(`{"count":3}`)...))
	f.Add(whole, whole, slot(`{"count":1,"sending":{"segment":9,"offset":99},"second":{"segment":1,"offset":24}}`))
	f.Add(whole, whole, slot(`{"count":1,"delivered":{"segment":5}}`))
	f.Fuzz(func(t *testing.T, first, second, marksText []byte) {
		dir := t.TempDir()
		for name, text := range map[string][]byte{segmentName(1): first, segmentName(2): second, "marks": marksText} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m := readMarks(marksText)
		want := expected(first, second, m.Delivered)
		s, err := Open(Config{Folder: dir, MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		defer kill(s) // a disk is slow to sync
		if _, err := s.Append([][]byte{record(7)}); err != nil {
			t.Fatal(err)
		}
		want = append(want, record(7))
		var got [][]byte
		for range len(first) + len(second) + 10 {
			b, err := s.Next(Limits{Records: 2, Bytes: 100})
			if err != nil {
				t.Fatal(err)
			}
			if !b.End.After(b.From) {
				break
			}
			if again, err := s.Next(Limits{Records: 1, Bytes: 1}); err != nil || again.Key != b.Key || again.End != b.End {
				t.Fatalf("a batch that was read is another one now: %+v, %+v, %v", b, again, err)
			}
			got = append(got, b.Records...)
			if err := s.Done(b); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(bytes.Join(got, []byte{'\n'}), bytes.Join(want, []byte{'\n'})) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if n := s.Bytes(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// expected reads the two segments as a person would: line by line, from the mark on.
func expected(first, second []byte, from Position) (want [][]byte) {
	for i, text := range [][]byte{first, second} {
		n := uint64(i + 1)
		switch {
		case n < from.Segment:
			continue
		case n == from.Segment:
			text = text[min(int64(len(text)), from.Offset):]
		}
		lines := bytes.Split(text, []byte{'\n'})
		for _, line := range lines[:len(lines)-1] {
			if r, ok := unframe(line); ok {
				want = append(want, r)
			}
		}
	}
	return want
}
