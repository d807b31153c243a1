package era

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

const (
	maxMessage  = 32 << 20         // bytes of one message of a server
	resumeAfter = time.Second      // where the server does not say
	maxResume   = 10 * time.Second // however long it says
)

// leg is the answer to one request that a server of the other era was sent: its messages one by one, until it ends.
type leg struct {
	messages chan mcp.Labelled // closed at the end
	err      error             // why it ended; io.EOF where the server ended it. Valid once messages is closed
	ctx      context.Context   //nolint:containedctx // of the leg, which can outlive the exchange that began it
	cancel   context.CancelFunc
	unfollow func()
	resume   func(ctx context.Context, last string) (*http.Response, error) // nil: it cannot be
	last     string                                                         // id of the last event that had one
	pause    time.Duration
}

// newLeg makes a leg, which ends with cancel, or with the exchange that it is of.
func newLeg(ctx context.Context) *leg {
	l := &leg{messages: make(chan mcp.Labelled), pause: resumeAfter}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.follow(ctx)
	return l
}

// follow has the leg end with an exchange, until unfollow.
func (l *leg) follow(ctx context.Context) {
	stop := context.AfterFunc(ctx, l.cancel)
	l.unfollow = func() { stop() }
}

// read reads an answer, and what the server goes on with where it ended a stream before the answer (SEP-1699).
func (l *leg) read(resp *http.Response) {
	defer close(l.messages)
	for {
		answered, err := l.body(resp)
		_ = resp.Body.Close()
		l.err = err
		if answered || err != io.EOF || l.last == "" || l.resume == nil {
			return
		}
		select {
		case <-time.After(l.pause):
		case <-l.ctx.Done():
			return
		}
		if resp, err = l.resume(l.ctx, l.last); err != nil {
			l.err = err
			return
		}
		if resp.StatusCode != http.StatusOK || !mcp.IsStream(resp.Header) {
			discard(resp)
			l.err = errors.New("the server ended the stream, and does not go on with it: " + resp.Status)
			return
		}
	}
}

// body reads one answer, and tells whether the response to the request was in it.
func (l *leg) body(resp *http.Response) (answered bool, err error) {
	if !mcp.IsStream(resp.Header) {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
		if err == nil && len(data) > maxMessage {
			err = mcp.ErrEventTooLong
		}
		if err != nil {
			return false, err
		}
		if err := l.put(data); err != nil {
			return false, err
		}
		return true, io.EOF
	}
	for events := mcp.NewEventReader(resp.Body, maxMessage); ; {
		e, err := events.Next()
		if err != nil {
			return answered, err
		}
		l.note(&e)
		if len(e.Data) == 0 {
			continue
		}
		answered = answered || mcp.IsAnswer(e.Data)
		if err := l.put(e.Data); err != nil {
			return answered, err
		}
	}
}

// note keeps what is needed to go on with the stream.
func (l *leg) note(e *mcp.Event) {
	if e.ID != nil {
		l.last = string(e.ID)
	}
	for line := range bytes.Lines(e.Raw) {
		if value, ok := bytes.CutPrefix(line, []byte("retry:")); ok {
			if ms, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil && ms >= 0 {
				l.pause = min(time.Duration(ms)*time.Millisecond, maxResume)
			}
		}
	}
}

// put hands on the messages in data, of which there may be several (2025-03-26).
func (l *leg) put(data []byte) error {
	parts, _, err := mcp.ParseBatch(data)
	if err != nil {
		return err
	}
	for i := range parts {
		if parts[i].Err != nil {
			return parts[i].Err
		}
		select {
		case l.messages <- parts[i].Labelled:
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
	return nil
}

// resumed asks a legacy server to go on with a stream, by an exchange like y.
func resumed(y *call.Exchange, send Send) func(context.Context, string) (*http.Response, error) {
	return func(ctx context.Context, last string) (*http.Response, error) {
		return send(ctx, listening(y, last))
	}
}

// listening is an exchange like y that asks for a session's stream, from an event on.
func listening(y *call.Exchange, last string) *call.Exchange {
	get := *y
	h := y.Request.Header.Clone()
	delete(h, "Content-Type")
	h.Set("Accept", "text/event-stream")
	if last != "" {
		h.Set("Last-Event-Id", last)
	}
	get.Request = &http.Request{Method: http.MethodGet, Header: h}
	return &get
}
