package lambdahttp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"

	"golang.org/x/net/http/httpguts"

	"mcpgateway/internal/mcp"
)

// bufferSize is how many bytes of an answer wait for a flush: as many as the Runtime API's client reads at once, so that
// what was flushed together leaves in one chunk.
const bufferSize = 32 << 10

// errBrokeOff ends a stream whose handler did: the front must not take it for whole.
var errBrokeOff = errors.New("the answer broke off")

// writer is a handler's http.ResponseWriter. The handler's goroutine writes, the Runtime API's reads.
type writer struct {
	header http.Header
	bare   bool // the answer has no body, whatever is written: it is one to HEAD
	head   *head
	out    *bufio.Writer // to outlet, at a flush
	whole  *bytes.Buffer // takes what comes out instead of the pipe, once the handler ended without having sent anything
	begun  chan struct{} // closed when something is about to be sent
	sent   bool          // begun is closed
	in     *io.PipeReader
	pipe   *io.PipeWriter
}

// head is an answer's status and headers, as they were when the handler sent them.
type head struct {
	status int
	header http.Header
}

func newWriter(r *http.Request) *writer {
	w := &writer{header: http.Header{}, bare: r.Method == http.MethodHead, begun: make(chan struct{})}
	w.in, w.pipe = io.Pipe()
	w.out = bufio.NewWriterSize(outlet{w}, bufferSize)
	return w
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Interim answers have no place in a Lambda's: they are dropped.
func (w *writer) WriteHeader(status int) {
	if w.head != nil || status >= 100 && status < 200 {
		return
	}
	w.head = &head{status: status, header: fit(w.header)}
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.bare:
		return len(p), nil
	case w.head.status == http.StatusNoContent || w.head.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	}
	return w.out.Write(p)
}

// FlushError sends what was written, in a chunk of its own. The error says that nobody reads any more.
func (w *writer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	w.begin()
	return w.out.Flush()
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// begin lets the head go out.
func (w *writer) begin() {
	if !w.sent {
		w.sent = true
		close(w.begun)
	}
}

// outlet is where the buffer goes to.
type outlet struct{ of *writer }

// Write implements io.Writer. Before anything goes out the head must.
func (o outlet) Write(p []byte) (int, error) {
	if o.of.whole != nil {
		return o.of.whole.Write(p)
	}
	o.of.begin()
	return o.of.pipe.Write(p)
}

// run has serve answer r, and returns the head and what follows it. Closing that, and not reading it to its end, ends the
// request's context.
func (a *Adapter) run(serve http.HandlerFunc, r *http.Request) (head, io.ReadCloser) {
	ctx, cancel := context.WithCancel(r.Context())
	w := newWriter(r)
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		err := a.serve(serve, w, r.WithContext(ctx))
		ended <- err
		if w.sent && err == nil {
			err = w.out.Flush()
		}
		_ = w.pipe.CloseWithError(err) // nil is a clean end
	}()
	select {
	case <-w.begun:
		return *w.head, &body{w.in, cancel}
	case err := <-ended:
		if w.sent { // both at once
			return *w.head, &body{w.in, cancel}
		}
		return w.finish(err)
	}
}

// body is the rest of an answer.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer: what the handler still writes fails.
func (b *body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// finish is an answer that was not begun when its handler ended: all of it is in the buffer. Where the handler ended in a
// panic nothing was sent, and so a proper answer still can be.
func (w *writer) finish(err error) (head, io.ReadCloser) {
	if err != nil {
		w = newWriter(&http.Request{})
		(&mcp.Error{Status: http.StatusInternalServerError, Message: "Internal error"}).Write(w, "")
	}
	w.WriteHeader(http.StatusOK)
	w.whole = &bytes.Buffer{}
	_ = w.out.Flush() // a buffer takes everything
	return *w.head, io.NopCloser(w.whole)
}

// serve calls the handler. No panic may pass: the runtime would end the process, and the answer as if it were whole.
func (a *Adapter) serve(serve http.HandlerFunc, w *writer, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // no bug: it cuts an answer off
			err = errBrokeOff
		default:
			a.log.Error("panic", "panic", p, "stack", string(debug.Stack()))
			err = errBrokeOff
		}
	}()
	serve(w, r)
	return nil
}

// framing are the headers that are the front's to set.
var framing = map[string]bool{"Connection": true, "Content-Length": true, "Keep-Alive": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true}

// newlines would end a header, and let its value begin another.
var newlines = strings.NewReplacer("\r", " ", "\n", " ")

// fit copies the headers that may leave, as net/http writes them.
func fit(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if framing[name] || len(values) == 0 || !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, v := range values {
			out[name] = append(out[name], newlines.Replace(v))
		}
	}
	return out
}

// single has one value for each name, as a function URL wants them, and the cookies, which cannot be joined (RFC 6265,
// section 3).
func (h *head) single() (headers map[string]string, cookies []string) {
	headers = make(map[string]string, len(h.header))
	for name, values := range h.header {
		if name == "Set-Cookie" {
			cookies = values
			continue
		}
		headers[name] = strings.Join(values, ", ")
	}
	return headers, cookies
}
