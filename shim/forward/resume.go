package forward

import (
	"context"
	"errors"
	"net/http"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/replay"
)

// primed is the first revision whose clients know an event without data, which only tells them where to take a stream up
// (SEP-1699).
const primed = "2025-11-25"

// keep has a stream be kept that answers one request of a session, whose server does not name its events itself; what it
// names it can be asked for. It is nil where there is nothing to keep.
func (f *Forwarder) keep(x *call.Exchange) *replay.Stream {
	if f.Sealer == nil || x.Sealed == nil || f.named.Load() || x.MCP.Batch || len(x.MCP.Messages) != 1 || x.MCP.Messages[0].Kind != mcp.Request {
		return nil
	}
	name, ok := f.Sealer.SealStream(x.Sealed, x.MCP.Messages[0].ID, x.Who.Issuer, x.Who.Subject)
	if !ok {
		return nil
	}
	return f.replay.Begin(string(x.Sealed.Name[:]), name)
}

// prime tells the client where to take the stream up before anything else is said.
func (a *answer) prime() {
	if a.kept != nil && a.exchange.Request.Header.Get(mcp.HeaderVersion) >= primed {
		a.write(a.kept.Add([]byte("data: \n\n"), false))
	}
}

// send sends an event, under an id where the stream is kept. Once a client took the stream up elsewhere, nothing goes out here.
func (a *answer) send(e *mcp.Event) {
	raw := e.Raw
	switch {
	case a.kept == nil || e.Blank() && e.ID == nil:
	case e.ID != nil:
		a.named.Store(true)
		a.kept.Drop()
		a.kept = nil
	default:
		raw = a.kept.Add(e.Unmarked(), mcp.IsAnswer(e.Data))
		a.gone = a.gone || a.kept.Taken()
	}
	a.write(raw)
	a.flush()
}

// resume goes on with the answer to a call of which the client lost the rest: what it missed, and what is still to come. Of a
// call that nobody has an answer of, it is told so: the call may have run, and is never sent again.
func (f *Forwarder) resume(x *call.Exchange) error {
	if x.Sealed == nil {
		return noStream(errors.New("no session is named"))
	}
	name, after, stream, ok := f.replay.Find(x.Request.Header.Get("Last-Event-Id"))
	if !ok {
		return noStream(errors.New("it is no event id"))
	}
	request, err := f.Sealer.OpenStream(name, x.Sealed, x.Who.Issuer, x.Who.Subject)
	if err != nil {
		return noStream(err)
	}
	if err := x.Record(audit.Forwarded, http.StatusOK, nil); err != nil {
		return err
	}
	h := x.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	x.Writer.WriteHeader(http.StatusOK)
	out := http.NewResponseController(x.Writer)
	_ = out.Flush() // a client that left is seen at the first event
	if x.Request.Header.Get(mcp.HeaderHold) != "" {
		if stream != nil {
			_ = stream.Await(x.Request.Context(), after) // who waits no more is told nothing
		}
		return nil
	}
	write := func(event []byte) error {
		if _, err := x.Writer.Write(event); err != nil {
			return err
		}
		return out.Flush()
	}
	ctx, cancel := context.WithTimeout(x.Request.Context(), f.callTimeout(x))
	defer cancel()
	err = replay.ErrLost
	if stream != nil {
		err = stream.Follow(ctx, after, write)
	}
	if errors.Is(err, replay.ErrLost) {
		lost := mcp.Error{ID: request, Code: mcp.CodeUnavailable,
			Message: "The result is lost: the MCP server stopped, or it was too long to be kept. The call may have run"}
		err = write(mcp.MessageEvent(lost.Body(x.RequestID())))
	}
	if err != nil { // it left, or follows elsewhere
		panic(http.ErrAbortHandler)
	}
	return nil
}

func noStream(cause error) error {
	return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest, Cause: cause,
		Message: "Last-Event-ID names no stream of this session; call again"}
}
