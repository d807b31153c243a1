package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/call"
	"mcpgateway/shim/replay"
)

// Limits of what is held in memory to decide on it.
const (
	maxEvent = 32 << 20 // bytes of one server-sent event
	maxList  = 32 << 20 // bytes of an answer that may hold lists
)

// answer streams one response. A client that leaves is not an error of the server: the rest is read and thrown away,
// because closing the connection would tell a legacy server nothing and a modern one is told by the context.
type answer struct {
	exchange *call.Exchange
	response *http.Response
	out      *http.ResponseController
	review   func(data []byte) (next []byte, refused bool, err error) // nil where nobody looks at messages
	heard    func()                                                   // called for every event that says something
	gone     bool                                                     // the client left
	kept     *replay.Stream                                           // nil where the client cannot take the stream up
	named    *atomic.Bool                                             // set where the server names the stream's events
	news     []string                                                 // methods of notifications that go first

	authorize authorize.Checker
	lists     bool    // it may hold lists
	wishes    *wishes // nil where nothing is asked of the session itself
	tasks     bool    // it may hand out a task
}

// body sends an answer that is no stream of events.
func (a *answer) body() error {
	switch {
	case a.lists || a.review != nil || a.wishes != nil || a.exchange.Rules.Audit.Required:
		return a.whole()
	case a.tasks:
		if err := a.peekTasks(); err != nil {
			return err
		}
	}
	length := a.response.ContentLength
	if length > 0 {
		a.exchange.Writer.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	var sent int64
	for {
		n, err := io.ReadAtLeast(a.response.Body, *buf, 1)
		sent += int64(n)
		a.exchange.Answers((*buf)[:n])
		if err == io.EOF || length >= 0 && sent >= length {
			if held := a.record(nil); held != nil {
				return a.withhold(held)
			}
		}
		if err != nil && err != io.EOF {
			return a.broke(err)
		}
		a.write((*buf)[:n])
		if err == io.EOF {
			return nil
		}
		if length < 0 {
			a.flush()
		}
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// events sends a stream event by event.
func (a *answer) events(ctx context.Context) error {
	a.begin()
	a.prime()
	a.tell(a.news)
	a.flush()
	events := mcp.NewEventReader(a.response.Body, maxEvent)
	for {
		e, err := events.Next()
		if cause := context.Cause(ctx); err != nil && endings[cause] != "" {
			if held := a.record(nil); held != nil {
				return a.withhold(held)
			}
			a.write([]byte(endings[cause]))
			return nil
		}
		if err == io.EOF {
			if held := a.record(nil); held != nil {
				return a.withhold(held)
			}
			// No client should take an event that was never ended, but some do: it is not looked into.
			if !a.lists && a.review == nil && !mcp.MentionsTask(e.Raw) {
				a.write(e.Raw)
			}
			return nil
		}
		if err != nil {
			return a.broke(err)
		}
		if held := a.event(e); held != nil {
			return a.withhold(held)
		}
	}
}

// event sends one event. An error says that it must be withheld.
func (a *answer) event(e mcp.Event) error {
	if !e.Blank() && a.heard != nil {
		a.heard()
	}
	if len(e.Data) > 0 && !a.settled(&e) {
		return nil
	}
	a.wishes.granted(e.Data)
	a.exchange.AnswersEvent(len(e.Raw), e.Data)
	if !a.exchange.Listener() && len(e.Data) > 0 && mcp.IsAnswer(e.Data) {
		if held := a.record(nil); held != nil {
			return held
		}
	}
	a.send(&e)
	return nil
}

// begin sends the status and headers.
func (a *answer) begin() {
	if !a.exchange.Begun() {
		a.exchange.Writer.WriteHeader(a.response.StatusCode)
	}
}

func (a *answer) write(p []byte) {
	a.begin()
	if a.gone || len(p) == 0 {
		return
	}
	if _, err := a.exchange.Writer.Write(p); err != nil {
		a.gone = true
	}
}

func (a *answer) flush() {
	if !a.gone && a.out.Flush() != nil {
		a.gone = true
	}
}

// record makes the record. An error says that what was not sent yet must not be, and is what to answer instead.
func (a *answer) record(err error) error {
	o := audit.Forwarded
	if err != nil {
		o = audit.Failed
	}
	return a.exchange.Record(o, a.response.StatusCode, err)
}

// withhold answers an error instead of what is left. In a stream that began it is the last event, in another body there
// is no place for it.
func (a *answer) withhold(held error) error {
	if !a.exchange.Begun() {
		return held
	}
	if a.exchange.Writer.Header().Get("Content-Length") != "" || a.exchange.Listener() {
		panic(http.ErrAbortHandler)
	}
	body := mcp.AsError(held).Body(a.exchange.RequestID())
	a.send(&mcp.Event{Raw: mcp.MessageEvent(body), Data: body})
	return nil
}

// broke ends an answer that stopped half-way. With headers out, all that is left is to cut the connection.
func (a *answer) broke(err error) error {
	if !a.exchange.Begun() {
		return broken(err)
	}
	if a.exchange.Request.Context().Err() != nil {
		err = errors.New("the client left")
	}
	if a.exchange.Listener() {
		err = nil // listeners end by being left
	}
	_ = a.record(err) // nothing more is sent anyway
	panic(http.ErrAbortHandler)
}
