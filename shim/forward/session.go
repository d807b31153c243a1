package forward

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/session"
)

// beginWithin bounds how long it takes to begin a session again, beginRetry is when to try it once more.
const (
	beginWithin = time.Minute
	beginRetry  = 5 * time.Second
)

// inSession sends the exchange in the caller's session, which is begun again first where the server behind is new, or has
// lost it. Nothing is sent twice that may have run: a server that does not know the session ran nothing.
func (f *Forwarder) inSession(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	if f.Living == nil || x.Sealed == nil || x.Initializes() {
		return f.exchange(ctx, x)
	}
	id, known := f.Living.Current(x.Sealed)
	x.Session = id
	if !known && f.Remote != nil && id != "" {
		lost, err := f.lost(ctx, x) // it may have lived on
		if err != nil {
			return nil, err
		}
		known = !lost
	}
	if !known {
		return f.beginning(ctx, x, "")
	}
	f.owed(ctx, x)
	resp, err := f.exchange(ctx, x)
	if err != nil || resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest {
		f.note(ctx, x, resp)
		return resp, err
	}
	if lost, err := f.lost(ctx, x); err != nil || !lost || x.Sealed.Params == "" {
		return resp, nil //nolint:nilerr // the server's own answer says enough
	}
	discard(resp)
	return f.beginning(ctx, x, id)
}

// note has a session be over that its client ended.
func (f *Forwarder) note(ctx context.Context, x *call.Exchange, resp *http.Response) {
	if x.Request.Method == http.MethodDelete && resp != nil && resp.StatusCode < 300 {
		f.end(ctx, x)
	}
}

// lost tells whether the server does not know the session: it answers a ping as it answers what it did not look into. Some
// say 400 instead of the 404 of MCP 2025-11-25 (transports, session management), and both may mean something else.
func (f *Forwarder) lost(ctx context.Context, x *call.Exchange) (bool, error) {
	resp, err := f.exchange(ctx, within(x, x.Session, `{"jsonrpc":"2.0","id":"`+rand.Text()+`","method":"ping"}`))
	if err != nil {
		return false, err
	}
	discard(resp)
	return resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusBadRequest, nil
}

// beginning sends the exchange in a session that the server does not know, by lost. Only who asks for something has it begun
// again: what else was meant for the server before is of no use to this one.
func (f *Forwarder) beginning(ctx context.Context, x *call.Exchange, lost string) (*http.Response, error) {
	switch {
	case x.Request.Method == http.MethodDelete:
		f.end(ctx, x)
		return instead(http.StatusNoContent), nil
	case x.Request.Method == http.MethodPost && x.MCP.RequestIDs() == nil:
		return instead(http.StatusAccepted), nil
	case x.Sealed.Params == "":
		return nil, x.NoSession(errors.New("it ended with its server, and what its client said first is not known"))
	case x.Request.Method == http.MethodGet && f.Upstream.Scheme == "unix":
		// For each session a process may have to be started, which has nothing to say to who calls no more.
		resp := instead(http.StatusOK)
		resp.Header.Set("Content-Type", "text/event-stream")
		resp.Body = &unbegun{ctx: ctx, begun: f.Living.Begun(x.Sealed, lost)}
		return resp, nil
	}
	var err error
	y := within(x, "", "") // the exchange itself may be over before
	x.Session, err = f.Living.Begin(ctx, x.Sealed, lost, func() (session.Beginning, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginWithin)
		defer cancel()
		return f.begin(ctx, y, x.Sealed)
	})
	switch {
	case err == nil:
		return f.exchange(ctx, x)
	case ctx.Err() != nil:
		return nil, unreachable(x, err)
	case errors.Is(err, errOtherServer), errors.Is(err, errEnded):
		return nil, x.NoSession(err)
	}
	return nil, err
}

// errOtherServer says that a session cannot go on with the server that there is now, errEnded that it must not go on.
var (
	errOtherServer = errors.New("the server is another now")
	errEnded       = errors.New("the client ended it")
)

// begin repeats to the server what the client said first.
func (f *Forwarder) begin(ctx context.Context, y *call.Exchange, s *session.Session) (made session.Beginning, err error) {
	wanted := f.wanted(ctx, y, s)
	if wanted.Ended {
		return made, errEnded
	}
	y.Body = []byte(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":` + s.Params + `}`)
	resp, err := f.exchange(ctx, y)
	if err != nil {
		return made, err
	}
	answer, err := readIntroduction(resp)
	discard(resp)
	made = session.Beginning{ID: resp.Header.Get(mcp.HeaderSession), Answer: answer.sum, News: answer.news()}
	switch {
	case resp.StatusCode >= 500:
		return made, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: beginRetry,
			Message: "The server cannot go on with the session now; nothing was sent to it. Try again",
			Cause:   fmt.Errorf("begin a session again: the server answered %s", resp.Status)}
	case err != nil:
		return made, fmt.Errorf("%w: %w", errOtherServer, err)
	case answer.version != s.Version || made.ID == "":
		return made, fmt.Errorf("%w: it speaks %.20q instead of %s, in the session %.20q", errOtherServer, answer.version, s.Version, made.ID)
	}
	y = within(y, made.ID, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	y.Request.Header[mcp.HeaderVersion] = []string{s.Version}
	if resp, err = f.exchange(ctx, y); err == nil {
		discard(resp)
		err = f.restore(ctx, y, s, wanted)
	}
	return made, err
}

// within is an exchange of our own in the name of x's caller.
func within(x *call.Exchange, id, body string) *call.Exchange {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for _, name := range []string{mcp.HeaderVersion, "Traceparent", "Tracestate"} {
		if id == "" && name == mcp.HeaderVersion {
			continue // it is agreed on by initialize
		}
		if v := x.Request.Header[name]; v != nil {
			h[name] = slices.Clone(v)
		}
	}
	return &call.Exchange{Request: &http.Request{Method: http.MethodPost, Header: h}, Who: x.Who, Rules: x.Rules, Credential: x.Credential,
		Session: id, Body: []byte(body)}
}

// tell sends the session's client, in a stream that begins, what it must know of a server that is new.
func (a *answer) tell(methods []string) {
	for _, method := range methods {
		data := newsOf(method)
		e := mcp.Event{Raw: mcp.MessageEvent(data), Data: data}
		a.exchange.AnswersEvent(len(e.Raw), data)
		a.send(&e)
	}
}

// newsOf is the notification of a method.
func newsOf(method string) []byte { return fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q}`, method) }

// instead is an answer of ours in the server's place.
func instead(status int) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: http.NoBody}
}

// unbegun is the stream of a listener whose session the server does not know: silence, until it does.
type unbegun struct {
	ctx   context.Context
	begun <-chan struct{}
	said  bool
}

func (u *unbegun) Read(p []byte) (int, error) {
	if u.said {
		return 0, io.EOF
	}
	select {
	case <-u.ctx.Done():
		return 0, context.Cause(u.ctx)
	case <-u.begun:
		u.said = true
		return copy(p, mcp.SilenceComment), nil // the gateway comes again at once
	}
}

func (u *unbegun) Close() error { return nil }
