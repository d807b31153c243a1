// Package detach takes the connection of a listener over from net/http, which keeps more for a connection than all that a
// listener needs: two buffers, the request, and a goroutine that waits for the client to leave. Of thousands the memory
// counts, and more so the time in which it is looked through for garbage.
//
// It knows nothing of events and asks for nothing again; what is written is the rest of the answer that net/http began.
package detach

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Holder holds the connections that were taken over.
type Holder struct {
	patience time.Duration
	watcher  *watcher
	open     sync.WaitGroup
}

// NewHolder makes a Holder. A client may take patience to read what one write sends. It must be closed.
func NewHolder(patience time.Duration) (*Holder, error) {
	if patience <= 0 {
		return nil, errors.New("detach: the patience with readers is required")
	}
	w, err := newWatcher()
	if err != nil {
		return nil, err
	}
	return &Holder{patience: patience, watcher: w}, nil
}

// Close ends the watch over connections, after their streams ended.
func (h *Holder) Close() error { return h.watcher.close() }

// Wait returns when everything that Serve began has ended, of which net/http knows no more, or when ctx has.
func (h *Holder) Wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		h.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handoff is one exchange that may take its connection over. A nil one never does.
type Handoff struct {
	holder *Holder
	taken  chan struct{}
	stream *Stream
}

// Serve runs serve in a goroutine of its own and returns when it has ended or was released. A panic of serve is passed on
// until then, and afterwards cuts the stream off.
func (h *Holder) Serve(serve func(*Handoff)) {
	o := &Handoff{holder: h, taken: make(chan struct{})}
	ended := make(chan any, 1)
	h.open.Go(func() {
		defer func() {
			p := recover()
			if o.stream != nil {
				o.stream.end(p == nil)
			}
			ended <- p
		}()
		serve(o)
	})
	select {
	case <-o.taken:
	case p := <-ended:
		if p != nil {
			panic(p)
		}
	}
}

// Take takes the connection over, after the answer's head was written to w; it must have said that the connection ends.
// left is called when the client leaves, and must not wait. The result is nil where the handler's server has no connection
// to give.
func (o *Handoff) Take(w http.ResponseWriter, r *http.Request, left func()) *Stream {
	ctl := http.NewResponseController(w)
	if o == nil || ctl.Flush() != nil {
		return nil
	}
	conn, _, err := ctl.Hijack() // what the client sent ahead is not answered: the head said that the connection ends
	if err != nil {
		return nil
	}
	o.stream = &Stream{conn: conn, chunked: r.ProtoAtLeast(1, 1), patience: o.holder.patience}
	o.stream.unwatch = o.holder.watch(conn, left)
	return o.stream
}

// Release lets the handler return. From then on neither its ResponseWriter nor its Request is to be used, and the
// request's context has ended.
func (o *Handoff) Release() { close(o.taken) }

// watch calls left when the other side of a connection closes it.
func (h *Holder) watch(conn net.Conn, left func()) (stop func()) {
	if stop, ok := h.watcher.watch(conn, left); ok {
		return stop
	}
	go func() {
		defer left()
		var some [64]byte
		for {
			if _, err := conn.Read(some[:]); err != nil {
				return
			}
		}
	}()
	return func() {}
}
