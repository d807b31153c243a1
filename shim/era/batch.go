package era

import (
	"context"
	"errors"
	"io"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// batch answers the requests of a batch, which a modern server does not take: each is sent by itself, one after the other, and
// the stream has a response for each (MCP 2025-03-26, transports, "sending messages to the server").
func (t *Translator) batch(ctx context.Context, x *call.Exchange, body mcp.Body, v *visit, send Send) (*http.Response, error) {
	return replied(ctx, func(r *reply) {
		r.begin()
		defer r.out.Close() //nolint:errcheck // it never fails
		for i := range body.Messages {
			if body.Messages[i].Kind != mcp.Request {
				continue
			}
			y := *x
			y.MCP, y.Body = mcp.Body{Messages: body.Messages[i : i+1]}, body.Messages[i].Raw
			c := &legacyCall{t: t, x: &y, send: send, visit: v, message: &body.Messages[i], params: objectOf(path(body.Messages[i].Raw, "params"))}
			if c.into(ctx, r) != nil {
				return // nobody reads it
			}
		}
	})
}

// into answers the request within a stream.
func (c *legacyCall) into(ctx context.Context, r *reply) error {
	resp, err := c.answer(ctx)
	if err != nil {
		e := mcp.Error{Code: mcp.CodeUnavailable, Message: "The MCP server ended the connection without an answer; the call may have run"}
		if known, ok := errors.AsType[*mcp.Error](err); ok {
			e = *known
		}
		e.ID = c.message.ID
		return r.event(e.Body(""))
	}
	l := newLeg(ctx)
	defer l.cancel()
	go l.read(resp)
	for m := range l.messages {
		if err := r.event(m.Raw()); err != nil {
			return err
		}
	}
	if !errors.Is(l.err, io.EOF) {
		return l.err
	}
	return nil
}
