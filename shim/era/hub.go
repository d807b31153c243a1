package era

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

const (
	maxListeners = 32 // of one session
	maxWaiting   = 64 // messages that a listener did not read yet
	maxMissed    = 64 // messages that are kept while nobody listens
	openWithin   = time.Second
)

// hub hands on what a server says outside of requests: to the listeners of a session, and to its calls. It holds the session's
// listening stream (MCP 2025-11-25, transports, "listening for messages") from when somebody first needs it.
type hub struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
	calls     map[*modernCall]struct{}
	watched   map[string]int    // how many listeners want a resource that the server was told to watch
	missed    map[string][]byte // what nobody listened to, once each
	stream    *stream           // nil where there is none
}

// stream is the session's listening stream.
type stream struct {
	session string
	open    chan struct{} // closed once the server began it, or did not
	cancel  context.CancelFunc
}

// listener is one subscriptions/listen.
type listener struct {
	methods map[string]bool
	uris    map[string]bool
	news    chan []byte
	ended   chan struct{} // closed when it must begin again
	end     func()
}

func newListener() *listener {
	l := &listener{methods: map[string]bool{}, uris: map[string]bool{}, news: make(chan []byte, maxWaiting), ended: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.ended) })
	return l
}

// publish hands a notification to the listeners that want it, or keeps it for the next: a listener of a gateway that polls is
// there for moments only. One that does not read begins again: it must not miss news without knowing.
func (h *hub) publish(m *mcp.Labelled) {
	uri, _ := m.URI.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	heard := false
	for l := range h.listeners {
		if !l.wants(m.Method, uri) {
			continue
		}
		heard = true
		select {
		case l.news <- m.Raw():
		default:
			l.end()
		}
	}
	if key := m.Method + " " + uri; !heard && published[m.Method] && (h.missed[key] != nil || len(h.missed) < maxMissed) {
		h.missed[key] = m.Raw()
	}
}

func (l *listener) wants(method, uri string) bool {
	return l.methods[method] && (method != resourceUpdated || l.uris[uri])
}

// add notes a listener, and returns the resources that the server must be told to watch. It is false where there is no room.
func (h *hub) add(l *listener) (watch []string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) >= maxListeners {
		return nil, false
	}
	h.listeners[l] = struct{}{}
	for uri := range l.uris {
		if _, told := h.watched[uri]; !told {
			watch = append(watch, uri)
		}
		h.watched[uri]++
	}
	for key, news := range h.missed {
		if method, uri, _ := strings.Cut(key, " "); l.wants(method, uri) {
			delete(h.missed, key)
			l.news <- news // there is room for all
		}
	}
	return watch, true
}

// remove forgets a listener, and returns the resources that nobody wants for now.
func (h *hub) remove(l *listener) (unwatch []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.listeners[l]; !known {
		return nil // the session that it was in is over
	}
	delete(h.listeners, l)
	for uri := range l.uris {
		if h.watched[uri]--; h.watched[uri] == 0 {
			unwatch = append(unwatch, uri)
		}
	}
	return unwatch
}

// unwatch tells whether nobody wants a resource still, so that the server is to watch it no longer.
func (h *hub) unwatch(uri string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, told := h.watched[uri]
	if told && n == 0 {
		delete(h.watched, uri)
	}
	return told && n == 0
}

// serve notes a call that the server may ask something for, outside of its own stream.
func (h *hub) serve(c *modernCall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[c] = struct{}{}
}

func (h *hub) leave(c *modernCall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.calls, c)
}

// only is the call that a request of the server outside of any call's stream must be about; nil where nobody can tell.
func (h *hub) only() *modernCall {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.calls) != 1 {
		return nil
	}
	for c := range h.calls {
		return c
	}
	return nil
}

// reset ends all that belongs to a session that is over.
func (h *hub) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stream != nil {
		h.stream.cancel()
	}
	for l := range h.listeners {
		l.end()
	}
	h.stream, h.listeners, h.calls, h.watched = nil, map[*listener]struct{}{}, map[*modernCall]struct{}{}, map[string]int{}
	h.missed = map[string][]byte{}
}

// listen has the session's stream open, and waits a moment for it: what the server says before that is lost.
func (k *kept) listen(ctx context.Context, x *call.Exchange, s session, send Send) {
	if s.id == "" {
		return
	}
	k.hub.mu.Lock()
	st := k.hub.stream
	if st == nil || st.session != s.id {
		st = &stream{session: s.id, open: make(chan struct{})}
		var streamCtx context.Context
		streamCtx, st.cancel = context.WithCancel(context.WithoutCancel(ctx))
		k.hub.stream = st
		go k.hear(streamCtx, st, k.errand(x, s, nil), send)
	}
	k.hub.mu.Unlock()
	select {
	case <-st.open:
	case <-time.After(openWithin):
	case <-ctx.Done():
	}
}

// hear reads the session's stream until the server gives none any more.
func (k *kept) hear(ctx context.Context, st *stream, y *call.Exchange, send Send) {
	opened := sync.OnceFunc(func() { close(st.open) })
	defer func() {
		opened()
		st.cancel()
		k.hub.mu.Lock()
		defer k.hub.mu.Unlock()
		if k.hub.stream == st {
			k.hub.stream = nil
		}
	}()
	for last, pause := "", resumeAfter; ; {
		resp, err := send(ctx, listening(y, last))
		if err != nil {
			return
		}
		if resp.StatusCode != http.StatusOK || !mcp.IsStream(resp.Header) {
			discard(resp)
			return
		}
		opened()
		l := newLeg(ctx)
		l.last, l.pause = last, pause
		go l.read(resp)
		for m := range l.messages {
			k.heard(ctx, y, &m, send)
		}
		l.cancel()
		last, pause = l.last, l.pause
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// heard takes one message of the session's stream.
func (k *kept) heard(ctx context.Context, y *call.Exchange, m *mcp.Labelled, send Send) {
	if m.Kind == mcp.Notification {
		k.hub.publish(m)
		return
	}
	if m.Kind != mcp.Request {
		return
	}
	if c := k.hub.only(); c != nil && m.Method != "ping" {
		select {
		case c.strays <- *m:
			return
		case <-time.After(openWithin):
		}
	}
	answer := failure(m.ID.Token, mcp.CodeMethodNotFound, "Method not found: nobody can be asked now")
	if m.Method == "ping" {
		answer = response(m.ID.Token, "result", mcp.Token("{}"))
	}
	reply := *y
	reply.Body = answer
	_ = tell(ctx, &reply, send)
}
