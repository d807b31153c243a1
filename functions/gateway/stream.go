package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/beat"
	"mcpgateway/internal/mcp"
)

// answer streams the server's answer. Only JSON, event streams and empty bodies leave: anything else would be a page
// or a script in the origin that people sign in at.
func (g *gateway) answer(c *call, resp *http.Response) error {
	defer resp.Body.Close()
	h := c.w.Header()
	mcp.ForwardResponseHeaders(h, resp.Header)
	if v := resp.Header["Www-Authenticate"]; v != nil {
		h["Www-Authenticate"] = v // the shim's own: it lets no server's through
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		return g.stream(c, resp)
	case resp.ContentLength == 0 || resp.StatusCode == http.StatusNoContent:
		delete(h, "Content-Type")
		h.Set("Content-Length", "0")
		if resp.StatusCode == http.StatusNoContent {
			delete(h, "Content-Length")
		}
		c.begin(resp.StatusCode)
		return nil
	case kind == "application/json":
		return c.copy(resp)
	case resp.StatusCode >= 400:
		return c.plainError(resp)
	}
	first := make([]byte, 1)
	if n, err := io.ReadFull(resp.Body, first); n == 0 && err == io.EOF {
		delete(h, "Content-Type")
		c.begin(resp.StatusCode)
		return nil
	}
	clear(h)
	c.baseHeaders()
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: fmt.Errorf("the server answered %.60q", kind),
		Message: "The MCP server answered with something that is neither JSON nor an event stream"}
}

// begin sends status and headers.
func (c *call) begin(status int) {
	c.begun = true
	c.setTiming()
	c.w.WriteHeader(status)
}

// copy sends a JSON answer.
func (c *call) copy(resp *http.Response) error {
	if resp.ContentLength > 0 {
		c.w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	c.begin(resp.StatusCode)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	out := &drainingWriter{call: c}
	if _, err := io.CopyBuffer(out, struct{ io.Reader }{resp.Body}, *buf); err != nil {
		return c.cut(err)
	}
	return nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// drainingWriter goes on after the client left: a legacy server finishes what it was asked, and an answer that nobody
// reads is no reason to tell it otherwise.
type drainingWriter struct {
	call *call
	gone bool
}

func (p *drainingWriter) Write(b []byte) (int, error) {
	if p.gone {
		return len(b), nil
	}
	n, err := p.call.w.Write(b)
	if err != nil && p.call.era == mcp.Legacy {
		p.gone = true
		return len(b), nil
	}
	return n, err
}

// cut ends an answer that broke off, so that nobody takes it for whole. Where the client left it is not the server's
// fault, and the log must not say so.
func (c *call) cut(err error) error {
	e := &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Message: "The answer broke off", Cause: err}
	if c.r.Context().Err() != nil {
		e.Status, e.Message = mcp.StatusClientLeft, "The client left"
	}
	return e
}

// plainError keeps the status of an error that the server explained in a format that may not leave, and its words.
func (c *call) plainError(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return c.brokeOff(err)
	}
	message := strings.TrimSpace(strings.ToValidUTF8(string(text), ""))
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/plain" || message == "" {
		message = "The MCP server answered " + resp.Status
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": nil,
		"error": map[string]any{"code": mcp.CodeUnavailable, "message": message}})
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.begin(resp.StatusCode)
	_, _ = c.w.Write(body) // a client that left needs no answer
	return nil
}

// stream sends an event stream as it comes, with comments where it is silent.
func (g *gateway) stream(c *call, resp *http.Response) error {
	c.begin(resp.StatusCode)
	out := newEventWriter(c, g.keepAlive)
	defer out.stop()
	return g.pass(c, out, resp)
}

// pass sends the events of an answer that are still to come.
func (g *gateway) pass(c *call, out *eventWriter, resp *http.Response) error {
	defer g.holdOnLeave(c, out)()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 && out.write((*buf)[:n]) != nil && c.era == mcp.Modern {
			return c.cut(errors.New("the client left"))
		}
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, context.DeadlineExceeded) && (c.spent() && out.suspend() || g.outOfTime(c, out, err)) {
			return nil
		}
		if err != nil {
			return c.cut(err)
		}
	}
}

// outOfTime ends the stream of a call that took as long as it may with its error, since a cut connection would tell
// nobody why. It is false where there is no place for one: within an event, or where several requests may be answered.
func (g *gateway) outOfTime(c *call, out *eventWriter, cause error) bool {
	body, err := mcp.Parse(c.body)
	if err != nil || body.Batch || body.Messages[0].Kind != mcp.Request {
		return false
	}
	e := tooLate(cause)
	e.ID = body.Messages[0].ID
	if !out.event(e.Body(c.id)) {
		return false
	}
	g.note(c, e, e)
	return true
}

// eventWriter writes a stream of events and puts a comment between two of them when nothing was written for a while.
type eventWriter struct {
	out   http.ResponseWriter
	ctl   *http.ResponseController
	left  context.Context //nolint:containedctx // ends when the client leaves
	every time.Duration
	chase time.Duration // 0 where nothing is held back on the way

	mu       sync.Mutex
	loose    bool // what was written last was not chased
	boundary mcp.Boundary
	timer    *time.Timer
	failed   error
	stopped  bool
}

func newEventWriter(c *call, every time.Duration) *eventWriter {
	w := &eventWriter{out: c.w, ctl: http.NewResponseController(c.w), left: c.r.Context(), every: every}
	if c.metered() {
		w.chase, w.loose = chase, true
	}
	w.mu.Lock() // the timer may be over before it is known here
	defer w.mu.Unlock()
	w.failed = w.ctl.Flush()
	w.timer = time.AfterFunc(w.next(), w.comment)
	return w
}

// chase is how soon an event is followed by a comment where nothing else follows: a function's front may hold a chunk back
// until the next one comes.
const chase = 2 * time.Millisecond

// next is when a comment is due; the caller holds w.mu.
func (w *eventWriter) next() time.Duration {
	if w.loose && w.boundary.Between() {
		return w.chase
	}
	return w.patience()
}

// patience is how long the stream may be silent: up to a fifth less than w.every, so that streams that began together,
// as after a restart, get their comments apart; and it ends with that of others, ten times a second.
func (w *eventWriter) patience() time.Duration {
	return beat.Within(w.every-rand.N(w.every/5+1), w.every/250)
}

// write sends bytes of the stream at once.
func (w *eventWriter) write(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.send(p)
}

// event sends an event of our own; it is false where it cannot be told from the server's.
func (w *eventWriter) event(data []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.boundary.Between() && w.send(mcp.MessageEvent(data)) == nil
}

func (w *eventWriter) send(p []byte) error {
	if w.failed == nil {
		w.failed = w.left.Err() // what is written now may seem to arrive
	}
	if w.failed != nil {
		return w.failed
	}
	w.loose = w.chase > 0
	if _, w.failed = w.out.Write(p); w.failed == nil {
		w.failed = w.ctl.Flush()
	}
	if w.failed == nil {
		_, _ = w.boundary.Write(p) // never fails
	}
	w.timer.Reset(w.next())
	return w.failed
}

// lastID is the id of the last event that the client was sent and that had one.
func (w *eventWriter) lastID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.boundary.LastID()
}

// suspend ends a stream that its client can take up again by the id of the last event (SEP-1699); it is false where that
// cannot be done.
func (w *eventWriter) suspend() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.boundary.Resumable() && w.send(retry(time.Second)) == nil
}

// retry tells a client when to come back (WHATWG HTML, "server-sent events"). Up to a fifth sooner, so that not all come at
// once.
func retry(after time.Duration) []byte {
	return fmt.Appendf(nil, "retry: %d\n\n", (after - rand.N(after/5)).Milliseconds())
}

var comment = []byte(": keep-alive\n\n")

func (w *eventWriter) comment() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.failed != nil {
		return
	}
	if w.boundary.Between() {
		_ = w.send(comment) // a client that left is seen at the next event, or by its context
		w.loose = false
	}
	w.timer.Reset(w.patience())
}

// stop ends the comments. The handler must not return before: its writer is not its own afterwards.
func (w *eventWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}
