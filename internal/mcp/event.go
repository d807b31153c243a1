package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// SilenceComment is what a shim ends a listener's leg with when it, and not the server, closes it. The gateway takes it
// out and keeps the client's side open.
const SilenceComment = ":shim-silence\n\n"

// SupersededComment is what a shim ends a listener's leg with when a newer listener of the session took its place. The
// gateway takes it out, and ends the client's side.
const SupersededComment = ":shim-superseded\n\n"

// Event is one server-sent event (WHATWG HTML, "server-sent events") with the bytes it came in.
type Event struct {
	Raw   []byte // every line up to and with the blank one, comments too; shorter where the stream broke off
	Data  []byte // the data lines, joined by line feeds
	ID    []byte // the id line's value; nil where the event has none
	Type  []byte // the event line's value
	Whole bool   // ended by a blank line; the rest is never dispatched by a client

	marked bool // Raw begins with the stream's byte order mark
}

// Blank tells whether a client sees nothing of the event: comments, retry and id lines only.
func (e *Event) Blank() bool { return len(e.Data) == 0 && len(e.Type) == 0 }

// MessageEvent is the event of one message, which has no line ends.
func MessageEvent(message []byte) []byte {
	return append(append(append(make([]byte, 0, len(message)+32), "event: message\ndata: "...), message...), "\n\n"...)
}

// Unmarked is Raw without the mark that a stream may begin with, for what is said before it.
func (e *Event) Unmarked() []byte { return bytes.TrimPrefix(e.Raw, byteOrderMark) }

// WithData returns the event's bytes with its data replaced. All other lines stay as they came.
func (e *Event) WithData(data []byte) []byte {
	out := make([]byte, 0, len(e.Raw)+len(data))
	rest := e.Raw
	if e.marked {
		out, rest = append(out, byteOrderMark...), rest[len(byteOrderMark):]
	}
	done := false
	for len(rest) > 0 {
		var line []byte
		line, rest = cutLine(rest)
		name, _ := field(bytes.TrimRight(line, "\r\n"))
		if string(name) != "data" {
			out = append(out, line...)
			continue
		}
		if done {
			continue
		}
		for part := range bytes.SplitSeq(data, []byte{'\n'}) {
			out = append(append(append(out, "data: "...), part...), '\n')
		}
		done = true
	}
	return out
}

// cutLine splits off the first line with its end, any of the three that a stream may use.
func cutLine(in []byte) (line, rest []byte) {
	end := bytes.IndexAny(in, "\r\n")
	if end < 0 {
		return in, nil
	}
	if end++; in[end-1] == '\r' && end < len(in) && in[end] == '\n' {
		end++
	}
	return in[:end], in[end:]
}

// ErrEventTooLong is returned for an event longer than the reader's limit.
var ErrEventTooLong = errors.New("event too long")

// EventReader reads a stream event by event.
type EventReader struct {
	in    *bufio.Reader
	limit int
	first bool
	cr    bool // the line before ended in CR: a line feed that follows belongs to it
	crlf  bool // lines of this stream end in CRLF
}

// byteOrderMark may stand before the first event of a stream.
var byteOrderMark = []byte("\xef\xbb\xbf")

// NewEventReader reads from in; an event may have limit bytes at most.
func NewEventReader(in io.Reader, limit int) *EventReader {
	// Small: a listener's is held while nothing comes, and what it reads from is buffered itself.
	return &EventReader{in: bufio.NewReaderSize(in, 512), limit: limit, first: true}
}

// Next returns the next event. At the end of the stream it returns io.EOF, with the bytes of an unfinished event if
// there are any. Any other error is the reader's, or ErrEventTooLong.
func (r *EventReader) Next() (Event, error) {
	var e Event
	hasData := false
	for {
		line, err := r.line(&e)
		if err != nil {
			return e, err
		}
		if r.first {
			line, e.marked = bytes.CutPrefix(line, byteOrderMark)
			r.first = false
		}
		if len(line) == 0 {
			e.Whole = true
			return e, nil
		}
		switch name, value := field(line); string(name) {
		case "data":
			if hasData {
				e.Data = append(e.Data, '\n')
			}
			e.Data, hasData = append(e.Data, value...), true
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				e.ID = append([]byte{}, value...)
			}
		case "event":
			e.Type = append([]byte(nil), value...)
		}
	}
}

// line reads one line, appends its bytes to e.Raw and returns it without its end.
func (r *EventReader) line(e *Event) ([]byte, error) {
	start := len(e.Raw)
	for {
		if _, err := r.in.Peek(1); err != nil {
			return nil, err
		}
		ready, _ := r.in.Peek(r.in.Buffered())
		if r.cr && len(e.Raw) == start && ready[0] == '\n' {
			// The second half of a CRLF whose CR ended the line already: part of the bytes, no line of its own.
			e.Raw, start = append(e.Raw, '\n'), start+1
			_, _ = r.in.Discard(1)
			r.cr = false
			continue
		}
		end := bytes.IndexAny(ready, "\r\n")
		if end >= 0 {
			ready = ready[:end+1]
		}
		if len(e.Raw)+len(ready) > r.limit {
			return nil, ErrEventTooLong
		}
		e.Raw = append(e.Raw, ready...)
		_, _ = r.in.Discard(len(ready))
		if end < 0 {
			continue
		}
		line := len(e.Raw) - 1
		return e.Raw[start:line], r.rest(e, e.Raw[line])
	}
}

// rest takes the line feed of a CRLF. Where it has not arrived yet it is waited for only in a stream that was seen to
// use CRLF: in one of bare CRs that would hold an event back until the next.
func (r *EventReader) rest(e *Event, last byte) error {
	if r.cr = last == '\r'; !r.cr || r.in.Buffered() == 0 && !r.crlf {
		return nil
	}
	if next, err := r.in.Peek(1); err != nil || next[0] != '\n' {
		return nil // the stream ended in a CR, or its lines do: the next read tells
	}
	e.Raw = append(e.Raw, '\n')
	r.cr, r.crlf = false, true
	_, err := r.in.Discard(1)
	return err
}

// field splits a line into name and value. A comment has no name.
func field(line []byte) (name, value []byte) {
	name, value, _ = bytes.Cut(line, []byte{':'})
	return name, bytes.TrimPrefix(value, []byte{' '})
}

// Boundary follows the bytes of a stream and knows whether it stands between two events: the only place where a
// comment can be put in without changing an event's bytes.
type Boundary struct {
	inside bool // in an event, at the begin of a line
	inLine bool
	cr     bool
	id     int    // how much of idBegin the line has; -1 where it is another line, inValue where it is an id's
	named  bool   // the event has an id
	value  []byte // that id
	last   []byte // id of the last event that had one and was ended
}

// idBegin begins the line with which an event is named.
const (
	idBegin = "id: "
	inValue = len(idBegin) + 1
	maxName = 1024 // bytes of an id that are remembered
)

// Write implements io.Writer; it never fails.
func (b *Boundary) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n' && b.cr:
			b.cr = false
			continue
		case c == '\n' || c == '\r':
			b.endLine()
		default:
			b.inLine = true
			b.name(c)
		}
		b.cr = c == '\r'
	}
	return len(p), nil
}

func (b *Boundary) endLine() {
	if b.inside = b.inLine; !b.inside && b.named {
		b.last, b.named = append(b.last[:0], b.value...), false
	}
	b.inLine, b.id = false, 0
}

// name looks for an id in the byte that a line goes on with. The space before the value may be missing.
func (b *Boundary) name(c byte) {
	switch {
	case b.id < 0:
	case b.id == inValue:
		if len(b.value) < maxName {
			b.value = append(b.value, c)
		}
	case b.id < len(idBegin) && c == idBegin[b.id]:
		b.id++
	case b.id >= len(idBegin)-1:
		b.value, b.named, b.id = append(b.value[:0], c), true, inValue
	default:
		b.id = -1
	}
}

// LastID is the id of the last event that had one, and came whole: by it a client can take the stream up again. It is empty
// where none had.
func (b *Boundary) LastID() string { return string(b.last) }

// Resumable tells whether an event had an id, and the stream stands between two events: a client can take it up again by
// that id.
func (b *Boundary) Resumable() bool { return len(b.last) > 0 && b.Between() }

// Between tells whether the stream stands between two events.
func (b *Boundary) Between() bool { return !b.inside && !b.inLine && !b.cr }
