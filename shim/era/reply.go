package era

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"

	"mcpgateway/internal/mcp"
)

// reply is an answer to the caller that is still being made: JSON where it is all there is to say, and else a stream.
type reply struct {
	ctx  context.Context //nolint:containedctx // of the exchange: nobody reads the answer after it
	head chan head
	out  *io.PipeWriter // of the stream, once it began
}

// head is what the caller gets first: the head of an answer, or an error in its place.
type head struct {
	resp *http.Response
	err  error
}

// replied has run make an answer, and returns its head.
func replied(ctx context.Context, run func(*reply)) (*http.Response, error) {
	r := &reply{ctx: ctx, head: make(chan head, 1)}
	go run(r)
	select {
	case h := <-r.head:
		return h.resp, h.err
	case <-ctx.Done():
		go func() {
			if h := <-r.head; h.resp != nil {
				_ = h.resp.Body.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// begin begins the stream.
func (r *reply) begin() {
	if r.out != nil {
		return
	}
	var in *io.PipeReader
	in, r.out = io.Pipe()
	context.AfterFunc(r.ctx, func() { _ = r.out.CloseWithError(r.ctx.Err()) })
	r.head <- head{resp: &http.Response{StatusCode: http.StatusOK, Status: "200 OK", ContentLength: -1, Body: in,
		Header: http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store"}, "X-Accel-Buffering": {"no"}}}}
}

// event sends a message in the stream. An error says that nobody reads it any more.
func (r *reply) event(message []byte) error {
	r.begin()
	_, err := r.out.Write(mcp.MessageEvent(flat(message)))
	return err
}

// finish sends the last message.
func (r *reply) finish(status int, message []byte) {
	if r.out == nil {
		r.head <- head{resp: whole(status, message)}
		return
	}
	_ = r.event(message) // who left needs no answer
	_ = r.out.Close()
}

// fail ends the answer to a request by an error.
func (r *reply) fail(id mcp.Token, err error) {
	if r.out == nil {
		r.head <- head{err: err}
		return
	}
	e := *mcp.AsError(err)
	e.ID = id
	_ = r.event(e.Body(""))
	_ = r.out.Close()
}

// whole is an answer that is no stream; one without a body where there is no message.
func whole(status int, message []byte) *http.Response {
	resp := &http.Response{StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status), Header: http.Header{},
		ContentLength: int64(len(message)), Body: io.NopCloser(bytes.NewReader(message))}
	if len(message) > 0 {
		resp.Header.Set("Content-Type", "application/json")
	}
	return resp
}

// flat has a message stand on one line: line ends can only stand between tokens of JSON.
func flat(message []byte) []byte {
	if bytes.IndexByte(message, '\n') < 0 && bytes.IndexByte(message, '\r') < 0 {
		return message
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, message)
}
