package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"

	"golang.org/x/time/rate"

	"mcpgateway/internal/mcp"
)

// Whatever a child writes, in whatever pieces the pipe hands on: each line is read once, whole and in order, and its
// bytes stay as they are while the next are read.
func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"id\":1}\n\r\n\n{}"), uint16(1))
	f.Add(append(bytes.Repeat([]byte{'x'}, 1000), '\n'), uint16(1))
	f.Add(bytes.Repeat([]byte{'x'}, 1000), uint16(70)) // longer than what is read at once
	f.Fuzz(func(t *testing.T, output []byte, repeat uint16) {
		output = bytes.Repeat(output, 1+int(repeat)%100)
		if len(output) > 1<<20 {
			return
		}
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		written := make(chan error, 1)
		go func() {
			_, err := in.Write(output)
			written <- err
			in.Close()
		}()
		var got [][]byte
		if err := (&process{stdout: out}).read(func(line []byte) { got = append(got, line) }); err != nil {
			t.Fatalf("%q: %v", output, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		want := bytes.SplitAfter(output, []byte{'\n'})
		if last := len(want) - 1; len(want[last]) == 0 {
			want = want[:last]
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%q is read as %q", output, got)
		}
	})
}

// logged keeps the lines that logLines logs.
type logged struct {
	slog.Handler
	lines *[]string
}

func (l logged) Enabled(context.Context, slog.Level) bool { return true }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		*l.lines = append(*l.lines, a.Value.String())
		return true
	})
	return nil
}

// Whatever a child writes to stderr, in whatever pieces: a line of it is one of ours, cut where it is too long, and what
// is cut off is no line of its own.
func FuzzStderr(f *testing.F) {
	f.Add([]byte("one\n\r\n\n{\"level\":\"ERROR\"}\nlast"), uint16(1), uint16(3))
	f.Add([]byte("\xc3\xa4\xff\n"), uint16(1), uint16(1))
	f.Add(append(bytes.Repeat([]byte("\u00e4"), 50), '\n'), uint16(1), uint16(99))
	f.Add(bytes.Repeat([]byte{'x'}, 100), uint16(maxLogLine/100), uint16(4000))
	f.Fuzz(func(t *testing.T, output []byte, repeat, step uint16) {
		output = append(bytes.Repeat(output, 1+int(repeat)%100), '\n') // the last line ends with the child
		if len(output) > 64<<10 {
			return
		}
		var got, want []string
		log := &logLines{log: slog.New(logged{lines: &got}), quota: &quota{limiter: rate.NewLimiter(rate.Inf, 0)}}
		for rest := output; len(rest) > 0; {
			n := min(1+int(step), len(rest))
			if wrote, err := log.Write(bytes.Clone(rest[:n])); wrote != n || err != nil {
				t.Fatalf("wrote %d of %d, %v", wrote, n, err)
			}
			rest = rest[n:]
		}
		for line := range bytes.SplitSeq(output, []byte{'\n'}) {
			if len(line) > 0 {
				want = append(want, string(bytes.ToValidUTF8(line[:min(len(line), maxLogLine)], []byte("?"))))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q in pieces of %d is logged as %q, want %q", output, step+1, got, want)
		}
	})
}

// What a child answers to our questions decides on its era, and is what clients are told: names count as they are
// written, and an answer to the client's initialize is JSON whatever the child's was.
func FuzzHandshake(f *testing.F) {
	for _, text := range []string{`"result":{"supportedVersions":["2026-07-28"]}`, `"result":{"supportedVersions":["2025-11-25"]}`, `"result":{}`,
		`"error":{"code":-32601,"message":""}`, `"result":{"protocolVersion":"2025-11-25","capabilities":{}}`,
		`"result":{"supportedVersions":[1]}`, `"result":null`, `"result":{},"Result":1`, `"result":{"SupportedVersions":["2026-07-28"]}`} {
		f.Add([]byte(`{"jsonrpc":"2.0","id":1,`+text+`}`), byte(0), byte(0))
	}
	for _, code := range []int{mcp.CodeHeaderMismatch, mcp.CodeCapability, mcp.CodeVersion} {
		f.Add(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"error":{"code":%d}}`, code), byte(0), byte(0))
	}
	f.Fuzz(func(t *testing.T, line []byte, where, digit byte) {
		line = renumber(line, where, digit)
		p := newPipe(deadProcess(), use{stray: func(*pipe, mcp.Labelled) {}})
		x := &exchange{number: 1, to: newOutlet(nil, 1), id: mcp.Token("0"), ours: true}
		p.pending[1] = x
		p.take(line)
		all := drain(x.to)
		if len(all) == 0 || all[len(all)-1].of == nil {
			return // no answer
		}
		m := all[len(all)-1]
		var plain map[string]json.RawMessage
		if err := json.Unmarshal(m.line, &plain); err != nil {
			t.Fatalf("%s: %v", m.line, err)
		}
		checkEra(t, m, plain["result"])
		var b Bridge
		if err := b.keepIntroduction(m); err != nil {
			return
		}
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(result(mcp.Token(`"c"`), b.initialized), &answer); err != nil || string(answer["id"]) != `"c"` || !sameJSON(answer["result"], plain["result"]) {
			t.Fatalf("%s: a client is told %q, %v", m.line, answer, err)
		}
	})
}

func checkEra(t *testing.T, m message, result json.RawMessage) {
	t.Helper()
	found, versions := eraOf(m)
	var members map[string]json.RawMessage
	var supported []string
	if m.failed == 0 && json.Unmarshal(result, &members) == nil && json.Unmarshal(members["supportedVersions"], &supported) != nil {
		supported = nil
	}
	modern := m.failed == mcp.CodeHeaderMismatch || m.failed == mcp.CodeCapability || m.failed == mcp.CodeVersion
	for _, v := range supported {
		modern = modern || v >= mcp.ModernVersion
	}
	if (found == eraModern) != modern || found == eraModern && !slices.Equal(versions, supported) {
		t.Fatalf("%s: era %d with %q, want modern %v with %q", m.line, found, versions, modern, supported)
	}
}

// sameJSON compares texts as encoding/json writes them: what it marshals it escapes.
func sameJSON(a, b json.RawMessage) bool {
	one, err := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(one, other)
}
