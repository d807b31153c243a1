package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/mcp"
)

// writePatience is how long the reader of an answer may take for one message.
const writePatience = time.Minute

// answer is the HTTP answer to one or more requests: JSON where the answer is all there is to say, and else a stream.
type answer struct {
	w       http.ResponseWriter
	from    *outlet
	pipe    *pipe       // that all of open are under way on
	open    []*exchange // not yet answered
	batch   bool
	streams bool // the caller takes a stream
	modern  bool
	clock   *clock

	begun   bool     // the stream
	collect [][]byte // answers of a batch to a caller that takes no stream
}

// takesStream reads what a caller accepts. Both forms are obligatory; for one that names neither JSON is safe.
func takesStream(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "text/event-stream") || strings.Contains(accept, "*/*")
}

// send answers until all requests are answered, the caller leaves or the child ends.
func (a *answer) send(ctx context.Context) error {
	defer a.leave()
	due := time.Now().Add(a.clock.waiting)
	for len(a.open) > 0 {
		m, err := a.next(ctx, a.tick())
		switch {
		case errors.Is(err, errEnded):
			return a.fail("The MCP server's process did not answer, " + a.pipe.reason + "; the call may have run")
		case errors.Is(err, errUnread):
			a.leave()
			return a.fail("The answer was not read in time, or the session ended; the call may have run")
		case err != nil:
			return err
		case m.line != nil:
			err = a.message(m)
		case !time.Now().Before(due):
			a.begin()
		}
		if err != nil {
			return err
		}
	}
	if a.collect != nil {
		a.sendCollected()
	}
	return nil
}

// tick is when to look whether it is time for the stream to begin; nil where that is of no interest.
func (a *answer) tick() <-chan struct{} {
	if a.begun || !a.streams {
		return nil
	}
	return a.clock.next()
}

// first waits for the answer alone.
func (a *answer) first(ctx context.Context) (message, error) {
	defer a.leave()
	for {
		m, err := a.next(ctx, nil)
		if errors.Is(err, errEnded) {
			err = a.fail("The MCP server's process did not answer, " + a.pipe.reason)
		}
		if err != nil {
			return message{}, err
		}
		if m.of != nil {
			a.close(m.of)
			return m, nil
		}
	}
}

// errUnread says that the caller was given up, since it did not read or its session ended.
var errUnread = errors.New("the answer is not wanted any more")

// next waits for the next message; one without a line says that the clock ticked. What the child said before it ended comes
// first.
func (a *answer) next(ctx context.Context, tick <-chan struct{}) (message, error) {
	select {
	case m := <-a.from.messages:
		return m, nil
	default:
	}
	select {
	case m := <-a.from.messages:
		return m, nil
	case <-tick:
		return message{}, nil
	case <-a.pipe.ended:
		select {
		case m := <-a.from.messages:
			return m, nil
		default:
			return message{}, errEnded
		}
	case <-a.from.left: // nobody but who puts, and who ends a session, can say so now
		return message{}, errUnread
	case <-ctx.Done():
		return message{}, left(ctx.Err())
	}
}

// leave tells the child of requests that nobody waits for any more. Whoever closes this connection is the shim, when the
// call's time is over or a modern caller left: both are a cancellation. It stays when a legacy caller leaves.
func (a *answer) leave() {
	a.from.leave()
	for _, x := range a.open {
		a.pipe.cancel(x)
	}
}

func (a *answer) message(m message) error {
	single := len(a.open) == 1 && !a.batch
	if m.of != nil {
		a.close(m.of)
	}
	switch {
	case m.of != nil && single && !a.begun:
		writeJSON(a.w, a.status(m.failed), m.line)
		return nil
	case a.streams:
		return a.event(m.line)
	case m.of != nil:
		a.collect = append(a.collect, m.line)
	}
	return nil // the caller takes answers only
}

func (a *answer) close(x *exchange) {
	for i, open := range a.open {
		if open == x {
			a.open = append(a.open[:i:i], a.open[i+1:]...)
			return
		}
	}
}

// status is the HTTP status of a single answer. In the modern era some errors have their own (MCP 2026-07-28,
// transports, "responses").
func (a *answer) status(failed int) int {
	if !a.modern {
		return http.StatusOK
	}
	switch failed {
	case mcp.CodeMethodNotFound:
		return http.StatusNotFound
	case mcp.CodeInvalidParams, mcp.CodeHeaderMismatch, mcp.CodeCapability, mcp.CodeVersion:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	patient(w)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // who left needs no answer
}

// sendCollected answers a batch as a batch.
func (a *answer) sendCollected() {
	writeJSON(a.w, http.StatusOK, append(append([]byte{'['}, bytes.Join(a.collect, []byte{','})...), ']'))
}

func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	startStream(a.w)
}

func (a *answer) event(line []byte) error {
	a.begin()
	return writeEvent(a.w, line)
}

// startStream sends the headers of an event stream.
func startStream(w http.ResponseWriter) {
	patient(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // the first event tells
}

// left is the error of a client that is there no more.
func left(cause error) error {
	return &mcp.Error{Status: mcp.StatusClientLeft, Code: mcp.CodeUnavailable, Message: "The client left", Cause: cause}
}

// patient gives the reader time for what is written next, where the server has deadlines.
func patient(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writePatience))
}

func writeEvent(w http.ResponseWriter, line []byte) error {
	patient(w)
	event := mcp.MessageEvent(line)
	if _, err := w.Write(event); err != nil {
		return left(err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return left(err)
	}
	return nil
}

// fail answers all that is still open with an error: as the HTTP answer where that did not begin, and else in the stream.
func (a *answer) fail(message string) error {
	open := a.open
	a.open = nil
	e := &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Message: message}
	for _, x := range open {
		a.pipe.drop(x.number)
		e.ID = x.id
		e.Batch = append(e.Batch, x.id)
	}
	if !a.begun && a.collect == nil {
		if !a.batch {
			e.Batch = nil
		}
		return e
	}
	for _, x := range open {
		line := (&mcp.Error{Code: e.Code, Message: message, ID: x.id}).Body("")
		if !a.begun {
			a.collect = append(a.collect, line)
		} else if err := a.event(line); err != nil {
			return nil // nobody is left to tell
		}
	}
	if !a.begun {
		a.sendCollected()
	}
	return nil
}

// result is the answer to a request that needs no child.
func result(id mcp.Token, result mcp.Token) []byte {
	line, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  json.RawMessage `json:"result"`
	}{"2.0", json.RawMessage(id), json.RawMessage(result)})
	if err != nil { // both were parsed before
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}`)
	}
	return line
}
