package mcp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func readEvents(t *testing.T, in io.Reader) (events []Event, rest []byte) {
	t.Helper()
	r := NewEventReader(in, 1<<20)
	for {
		e, err := r.Next()
		if err == io.EOF {
			return events, e.Raw
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

func TestEventReader(t *testing.T) {
	for _, c := range []struct {
		name, in string
		data     []string
		ids      []string
	}{
		{"one", "data: {}\n\n", []string{"{}"}, []string{""}},
		{"no space", "data:{}\n\n", []string{"{}"}, []string{""}},
		{"two spaces", "data:  {}\n\n", []string{" {}"}, []string{""}},
		{"CRLF", "id: 1\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}, []string{"1", ""}},
		{"CR", "data: a\r\rdata: b\r\r", []string{"a", "b"}, []string{"", ""}},
		{"several data lines", "data: a\ndata\ndata: b\n\n", []string{"a\n\nb"}, []string{""}},
		{"fields", "event: message\nid: 7_1\nretry: 10\ndata: a\n\n", []string{"a"}, []string{"7_1"}},
		{"comment", ": hello\n\ndata: a\n\n", []string{"", "a"}, []string{"", ""}},
		{"priming", "id: 5\ndata:\n\n", []string{""}, []string{"5"}},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []string{"a"}, []string{""}},
		{"unknown field", "foo: bar\ndata: a\n\n", []string{"a"}, []string{""}},
		{"NUL in id", "id: a\x00b\ndata: a\n\n", []string{"a"}, []string{""}},
	} {
		for how, in := range map[string]io.Reader{"whole": strings.NewReader(c.in), "by byte": iotest.OneByteReader(strings.NewReader(c.in))} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				events, rest := readEvents(t, in)
				var data, ids []string
				var raw []byte
				for _, e := range events {
					data, ids, raw = append(data, string(e.Data)), append(ids, string(e.ID)), append(raw, e.Raw...)
					if !e.Whole {
						t.Error("an event is not whole")
					}
				}
				if d := cmp.Diff(c.data, data) + cmp.Diff(c.ids, ids); d != "" {
					t.Error(d)
				}
				if raw = append(raw, rest...); string(raw) != c.in {
					t.Errorf("bytes changed: %q", raw)
				}
			})
		}
	}
}

// Python's servers end lines by CRLF, often in a write of its own. The event must come out whole, at once, or clients
// wait for the line feed and the gateway sees no place for its comments.
func TestEventReaderTakesTheWholeOfACRLF(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		for _, part := range []string{"data: a\r\n", "\r\n"} {
			_, _ = w.Write([]byte(part))
		}
	}()
	e, err := NewEventReader(r, 100).Next()
	if err != nil || string(e.Raw) != "data: a\r\n\r\n" {
		t.Errorf("got %q, %v", e.Raw, err)
	}
}

// In a stream of bare CRs the reader must not wait for a line feed that never comes.
func TestEventReaderDoesNotWaitForALineFeed(t *testing.T) {
	r, w := io.Pipe()
	go func() { _, _ = w.Write([]byte("data: a\r\r")) }()
	e, err := NewEventReader(r, 100).Next()
	if err != nil || string(e.Data) != "a" {
		t.Errorf("got %q, %v", e.Data, err)
	}
}

func TestEventReaderBounds(t *testing.T) {
	for _, in := range []string{strings.Repeat("x", 200), strings.Repeat("data: x\n", 100), "data: " + strings.Repeat("x", 95) + "\n\n"} {
		if _, err := NewEventReader(strings.NewReader(in), 100).Next(); !errors.Is(err, ErrEventTooLong) {
			t.Errorf("%.20q…: got %v", in, err)
		}
	}
}

func TestEventReaderUnfinished(t *testing.T) {
	events, rest := readEvents(t, strings.NewReader("data: a\n\ndata: b\n"))
	if len(events) != 1 || string(rest) != "data: b\n" {
		t.Errorf("got %d events and %q", len(events), rest)
	}
}

func TestWithData(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"event: message\r\nid: 1\r\ndata: a\r\n: c\r\ndata: b\r\nretry: 5\r\n\r\n", "event: message\r\nid: 1\r\ndata: x\ndata: y\n: c\r\nretry: 5\r\n\r\n"},
		{"id: 1\rdata: a\rdata: b\r\r", "id: 1\rdata: x\ndata: y\n\r"},
		{"\xef\xbb\xbfdata: a\nid: 1\n\n", "\xef\xbb\xbfdata: x\ndata: y\nid: 1\n\n"},
	} {
		events, _ := readEvents(t, strings.NewReader(c.in))
		got := string(events[0].WithData([]byte("x\ny")))
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		again, _ := readEvents(t, strings.NewReader(got))
		if len(again) != 1 || string(again[0].Data) != "x\ny" || string(again[0].ID) != "1" {
			t.Errorf("reads back as %+v", again)
		}
	}
}

func TestBoundary(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, "d": false, "data: a": false, "data: a\n": false, "data: a\n\n": true, "data: a\r\n\r\n": true, "data: a\r\n\r": false,
		"data: a\n\nid": false, ": c\n": false, ": c\n\n": true, "\n": true, "data: a\n\r\n": true,
	} {
		var b Boundary
		for _, c := range []byte(in) {
			_, _ = b.Write([]byte{c})
		}
		if b.Between() != want {
			t.Errorf("%q: got %v", in, b.Between())
		}
	}
}

// Whatever comes, no byte is lost or added, however it arrives; where the boundary allows a comment, a reader sees the
// same events with it; and an event whose data is replaced reads as it did, but for that.
func FuzzEventReader(f *testing.F) {
	f.Add([]byte("event: message\nid: 1\ndata: a\n\n: c\r\n\r\ndata: b\r\rdata"), 3)
	f.Add([]byte("\xef\xbb\xbfdata: a\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		whole, rest := readEvents(t, bytes.NewReader(in))
		slow, slowRest := readEvents(t, iotest.OneByteReader(bytes.NewReader(in)))
		var raw []byte
		for _, e := range whole {
			raw = append(raw, e.Raw...)
		}
		if raw = append(raw, rest...); !bytes.Equal(raw, in) {
			t.Fatalf("%q became %q", in, raw)
		}
		if d := cmp.Diff(said(whole), said(slow)); d != "" && len(slowRest) == len(rest) {
			t.Fatalf("%q reads differently by byte: %s", in, d)
		}
		for _, e := range whole {
			if len(e.Data) == 0 {
				continue
			}
			// An empty line before it, since only the first event of a stream may have a byte order mark.
			before := ""
			if !e.marked {
				before = "\n"
			}
			replaced, rest := readEvents(t, strings.NewReader(before+string(e.WithData([]byte("new\ndata")))))
			replaced = replaced[len(before):]
			if len(replaced) != 1 || len(rest) > 0 || string(replaced[0].Data) != "new\ndata" || !bytes.Equal(replaced[0].ID, e.ID) || !bytes.Equal(replaced[0].Type, e.Type) {
				t.Fatalf("%q with other data is %+v and %q", e.Raw, replaced, rest)
			}
		}
		if cut < 0 || cut > len(in) {
			return
		}
		var b Boundary
		_, _ = b.Write(in[:cut])
		if !b.Between() || cut == 0 {
			return
		}
		commented, _ := readEvents(t, bytes.NewReader(append(append(append([]byte{}, in[:cut]...), ": c\n\n"...), in[cut:]...)))
		if d := cmp.Diff(said(whole), said(commented)); d != "" {
			t.Fatalf("%q with a comment at %d: %s", in, cut, d)
		}
	})
}

// said is what a client hears.
func said(events []Event) (out []string) {
	for _, e := range events {
		if len(e.Data) > 0 {
			out = append(out, string(e.Type)+"|"+string(e.Data))
		}
	}
	return out
}

// A stream can be taken up again by an id only, and only between two events.
func TestResumable(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                 false,
		"data: x\n\n":                      false,
		"id: 1\ndata: x\n\n":               true,
		"id:1\rdata: x\r\r":                false, // its line feed may follow
		"id:1\r\ndata: x\r\n\r\n":          true,
		"data: x\nid: 1\n\ndata: y\n\n":    true,
		"id: 1\ndata: x\n\ndata: y\n":      false,
		"id: \ndata: x\n\n":                false,
		"id:\n\n":                          false,
		"id\n\n":                           false,
		"data: id: 1\n\n":                  false,
		": id: 1\n\nx id: 1\n\nidx: 1\n\n": false,
	} {
		for size := 1; size <= len(text)+1; size++ {
			var b Boundary
			for part := []byte(text); len(part) > 0; {
				n, _ := b.Write(part[:min(size, len(part))])
				part = part[n:]
			}
			if b.Resumable() != want {
				t.Errorf("%q in parts of %d: %v", text, size, !want)
			}
		}
	}
}
