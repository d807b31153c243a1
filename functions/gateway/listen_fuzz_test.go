package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mcpgateway/internal/mcp"
)

// Whatever a server says on the legs of a listening stream, the client gets all of it but the shim's own comments, and
// the next leg goes on behind the last whole event with an id.
func FuzzRelay(f *testing.F) {
	g := lone(f)
	for _, text := range []string{"id: 1\ndata: {}\n\n", "id: 1\ndata: x\n\n" + mcp.SilenceComment, ": ping\n\nid\n\nid: 2\ndata: cut off", "id: a\x00b\n\n",
		"data: " + mcp.SilenceComment, mcp.SilenceComment + "id:3", "id: 4\r\ndata: {}\r\n\r\n:shim-silence\r\n\r\n", "\ufeffid: 5\n\n"} {
		f.Add(text, mcp.SilenceComment, false)
		f.Add(text, "data: acknowledged\n\ndata: x\n\n", true)
	}
	f.Fuzz(func(t *testing.T, first, second string, post bool) {
		method := http.MethodGet
		if post {
			method = http.MethodPost
		}
		w := httptest.NewRecorder()
		c := newCall(w, httptest.NewRequest(method, "/mcp-connect/github", nil), g.current.Load())
		l := &listening{g: g, c: c, out: newEventWriter(c, time.Hour)}
		defer l.out.stop()
		want, wantID := "", []byte(nil)
		for leg, text := range []string{first, second} {
			ended := l.relay(&http.Response{Body: io.NopCloser(iotest.HalfReader(strings.NewReader(text)))})
			if strings.Contains(text, "\r") {
				return // which of two events has the line feed of a CRLF depends on how it comes
			}
			said, id, wantEnded := plainRelay(text, post && leg > 0)
			if want += said; id != nil {
				wantID = id
			}
			if w.Body.String() != want || ended != wantEnded || !bytes.Equal(l.lastID, wantID) {
				t.Fatalf("leg %d of %q and %q: %q, id %q, ended %v; want %q, id %q, ended %v", leg, first, second, w.Body, l.lastID, ended, want, wantID, wantEnded)
			}
		}
	})
}

// plainRelay is what a leg should become, event by event. An acknowledgement is the first event that says something.
func plainRelay(text string, acknowledged bool) (said string, id []byte, ended bool) {
	var event string
	var eventID []byte
	data, silent, first := "", false, true
	for line := range strings.Lines(text) {
		event += line
		if !strings.HasSuffix(line, "\n") {
			break
		}
		content := strings.TrimSuffix(line, "\n")
		if first {
			content = strings.TrimPrefix(content, "\ufeff")
		}
		first = false
		name, value, _ := strings.Cut(content, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "id" && !strings.Contains(value, "\x00"):
			eventID = []byte(value)
		case name == "data":
			data += value + "\n"
		case content == "":
			silent = event == mcp.SilenceComment
			switch {
			case silent:
			case acknowledged && len(data) > 1:
				acknowledged = false
			default:
				said += event
				if eventID != nil {
					id = eventID
				}
			}
			event, eventID, data = "", nil, ""
		}
	}
	if silent {
		return said, id, false
	}
	return said + event, id, true
}
