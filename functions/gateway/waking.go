package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// longWake is how long a call waits for its server to start until its client is told that it is alive, and how often it is
// told again: in time for proxies that drop what is silent for 30 s, and for clients that give up after 60. What starts
// sooner, or fails sooner, is answered as if it had been awake, with a status of its own.
const longWake = 10 * time.Second

// waking tells the client of a call that its server starts: by an event stream, with comments, and with progress
// notifications where it asked for progress (MCP 2025-11-25, progress). From then on the answer is the last event of
// the stream, whatever it is.
type waking struct {
	g *gateway
	c *call

	mu       sync.Mutex
	timer    *time.Timer
	over     bool
	request  mcp.Token    // the call's id
	progress mcp.Token    // the token of its progress notifications; nil where it wants none
	out      *eventWriter // of the stream, once it began
	times    int          // that it was told
}

// watch begins to watch over a call that is about to wake its server. All but a timer waits until that takes long: in a
// cluster every call goes this way.
func (g *gateway) watch(ctx context.Context, c *call) *waking {
	w := &waking{g: g, c: c}
	w.mu.Lock() // the timer may be over before it is known here
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(g.longWake, func() { w.tell(ctx) })
	return w
}

// tell tells it once, while the server is not there. One that is may work for long, and says itself how that goes.
func (w *waking) tell(ctx context.Context) {
	awake, err := w.g.servers.locate(ctx, w.c.key(), w.c.entry)
	w.mu.Lock()
	defer w.mu.Unlock()
	if awake != nil || err != nil || w.over || w.out == nil && !w.begin() {
		return
	}
	if w.times++; w.progress != nil {
		// Values must rise, and the server's own, which follow, begin with 0 or more.
		w.out.event(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%g,`+
			`"message":"The MCP server is starting"}}`, w.progress, -1/float64(w.times)))
	}
	w.timer.Reset(w.g.longWake)
}

// begin begins the stream. It is false where there can be none: an answer to initialize has a session's id among its
// headers, one to a batch is not a single event, and some clients take no stream.
func (w *waking) begin() bool {
	m, err := mcp.ParseLabelled(w.c.body)
	if err != nil || m.Method == "initialize" || !takesEvents(w.c.r.Header) {
		return false
	}
	w.request, w.progress = m.ID.Token, m.Progress.Token
	streamHeaders(w.c.w.Header())
	w.c.begun = true
	w.c.w.WriteHeader(http.StatusOK) // without Server-Timing: the spans are still under way
	w.out = newEventWriter(w.c, w.g.keepAlive)
	return true
}

func takesEvents(h http.Header) bool { return takes(h, "text/event-stream") }

// takes tells whether a client accepts a kind of answer.
func takes(h http.Header, want string) bool {
	for kind := range strings.SplitSeq(strings.Join(h["Accept"], ","), ",") {
		if kind, _, _ := mime.ParseMediaType(kind); kind == want {
			return true
		}
	}
	return false
}

// told ends the watch. It is true where the answer is awaited in a stream.
func (w *waking) told() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
	return w.out != nil
}

// stop ends all that writes: the handler is about to return.
func (w *waking) stop() {
	if w.told() {
		w.out.stop()
	}
}

// answer sends what the call came to, as the end of the stream.
func (w *waking) answer(resp *http.Response, err error) error {
	if err != nil {
		return w.fail(err)
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		return w.g.pass(w.c, w.out, resp)
	case kind != "application/json":
		return w.fail(unexplained(resp))
	case resp.StatusCode >= 400:
		return w.passError(resp)
	}
	return w.document(resp)
}

// fail ends the stream with an error of ours.
func (w *waking) fail(err error) error {
	e := *mcp.AsError(err)
	if e.ID = w.request; !w.out.event(e.Body(w.c.id)) {
		return w.c.cut(err)
	}
	w.g.note(w.c, &e, err)
	return nil
}

func unexplained(resp *http.Response) *mcp.Error {
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Message: "The MCP server answered " + resp.Status}
}

// maxErrorBody bounds an error that is put into a stream, in bytes.
const maxErrorBody = 64 << 10

// passError ends the stream with the error that came with a status: the shim's, whose body may lack the id.
func (w *waking) passError(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return w.fail(w.c.brokeOff(err))
	}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	var compact bytes.Buffer
	if json.Unmarshal(text, &body) != nil || json.Compact(&compact, body.Error) != nil {
		return w.fail(unexplained(resp))
	}
	if !w.out.event(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":%s}`, w.request, &compact)) {
		return w.c.cut(errors.New("the client left"))
	}
	return nil
}

// document ends the stream with a JSON answer as its event. Line ends of JSON are between its tokens only, where a space
// means the same; in an event they would end the line.
func (w *waking) document(resp *http.Response) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	w.out.write([]byte("event: message\ndata: ")) //nolint:errcheck // it fails again below
	for {
		n, err := resp.Body.Read(*buf)
		for i, b := range (*buf)[:n] {
			if b == '\n' || b == '\r' {
				(*buf)[i] = ' '
			}
		}
		if n > 0 && w.out.write((*buf)[:n]) != nil && w.c.era == mcp.Modern {
			return w.c.cut(errors.New("the client left"))
		}
		if err == io.EOF {
			_ = w.out.write([]byte("\n\n")) // a client that left needs no answer
			return nil
		}
		if err != nil {
			return w.c.cut(err)
		}
	}
}
