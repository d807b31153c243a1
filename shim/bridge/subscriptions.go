package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// Bounds of what sessions that share a child can subscribe to.
const (
	maxSubscribed    = 1000    // resources of one session
	maxSubscriptions = 20_000  // of all
	maxURI           = 2 << 10 // bytes of the name of one
)

// subscriptions are the resources that sessions which share a child subscribed to. The child knows one client: it is told
// of the end of a subscription when nobody is left who wants the resource.
type subscriptions struct {
	mu       sync.Mutex
	wanted   map[string]map[*session]struct{} // by URI
	has      map[*session]map[string]struct{}
	byCaller map[string]int
	all      int
	loose    map[string]struct{} // nobody wants them since a session ended, and the child was not told
	telling  bool                // somebody tells it
}

func newSubscriptions() *subscriptions {
	return &subscriptions{wanted: map[string]map[*session]struct{}{}, has: map[*session]map[string]struct{}{},
		byCaller: map[string]int{}, loose: map[string]struct{}{}}
}

// add notes that a session wants a resource. The child must be told each time: it may not know yet, or no longer.
func (t *subscriptions) add(s *session, uri string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.ending() {
		return errNoSession
	}
	has := t.has[s]
	if _, ok := has[uri]; ok {
		return nil
	}
	if len(uri) > maxURI || len(has) >= maxSubscribed {
		return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidParams,
			Message: fmt.Sprintf("A session can subscribe to %d resources, with names of %d bytes", maxSubscribed, maxURI)}
	}
	if t.full(s.caller) {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: time.Minute,
			Message: "Too many resources of this server are subscribed to; end some subscriptions"}
	}
	if has == nil {
		has = map[string]struct{}{}
		t.has[s] = has
	}
	if t.wanted[uri] == nil {
		t.wanted[uri] = map[*session]struct{}{}
	}
	has[uri], t.wanted[uri][s] = struct{}{}, struct{}{}
	t.byCaller[s.caller]++
	t.all++
	delete(t.loose, uri)
	return nil
}

// full tells whether there is no room for a caller, as pipe.full does for requests. The caller holds t.mu.
func (t *subscriptions) full(caller string) bool {
	all := t.all + len(t.loose)
	return all >= maxSubscriptions || all >= maxSubscriptions/2 && t.byCaller[caller] >= maxSubscriptions/10
}

// remove notes that a session wants a resource no longer, and tells whether nobody does.
func (t *subscriptions) remove(s *session, uri string) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.has[s][uri]; ok {
		t.forget(s, uri)
	}
	return t.wanted[uri] == nil
}

// forget removes what is there; the caller holds t.mu.
func (t *subscriptions) forget(s *session, uri string) {
	if delete(t.has[s], uri); len(t.has[s]) == 0 {
		delete(t.has, s)
	}
	if delete(t.wanted[uri], s); len(t.wanted[uri]) == 0 {
		delete(t.wanted, uri)
	}
	if t.byCaller[s.caller]--; t.byCaller[s.caller] == 0 {
		delete(t.byCaller, s.caller)
	}
	t.all--
}

// drop notes that a session ended. It is true where what is loose now has nobody yet who tells the child: whoever called
// must take it until there is no more.
func (t *subscriptions) drop(s *session) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for uri := range t.has[s] {
		if t.forget(s, uri); t.wanted[uri] == nil {
			t.loose[uri] = struct{}{}
		}
	}
	tell = len(t.loose) > 0 && !t.telling
	t.telling = t.telling || tell
	return tell
}

// take returns a resource that the child need not watch any more; it is false where there is none, and then another can
// begin to tell the child.
func (t *subscriptions) take() (uri string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for uri := range t.loose {
		delete(t.loose, uri)
		return uri, true
	}
	t.telling = false
	return "", false
}

// again notes that the child was not told, so that it must be later.
func (t *subscriptions) again(uri string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wanted[uri] == nil {
		t.loose[uri] = struct{}{}
	}
}

// giveUp leaves what is loose to the child.
func (t *subscriptions) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.loose)
}

// by returns the sessions that want a resource.
func (t *subscriptions) by(uri string) []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.wanted[uri]))
}

// uris are all that are wanted.
func (t *subscriptions) uris() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.wanted))
}

// sharedEnded has the child do nothing more for a session. It does not wait.
func (b *Bridge) sharedEnded(s *session) {
	if p := b.legacy.current(); p != nil {
		p.revoke(s)
	}
	if b.subscribed.drop(s) {
		go b.unsubscribe()
	}
}

// unsubscribe tells the child what nobody wants any more, one after the other: it is no burden for a child that is slow.
func (b *Bridge) unsubscribe() {
	for {
		uri, ok := b.subscribed.take()
		if !ok {
			return
		}
		p := b.legacy.settled()
		if p == nil {
			continue // what does not run watches nothing
		}
		err := watch(context.Background(), p, "resources/unsubscribe", uri)
		if err == nil && len(b.subscribed.by(uri)) > 0 {
			err = watch(context.Background(), p, "resources/subscribe", uri) // maybe it was told so before, and then this
		}
		switch {
		case errors.Is(err, errBusy):
			b.subscribed.again(uri)
			time.Sleep(time.Second)
		case errors.Is(err, errSilent), errors.Is(err, errDeaf):
			p.log.Warn("server is not told what nobody subscribes to any more", "error", err)
			b.subscribed.giveUp()
		}
	}
}

// watch asks a child to watch a resource, or to do so no longer.
func watch(ctx context.Context, p *pipe, method, uri string) error {
	text, err := json.Marshal(uri)
	if err == nil {
		_, err = question(ctx, p, `{"jsonrpc":"2.0","id":0,"method":"`+method+`","params":{"uri":`+string(text)+`}}`)
	}
	return err
}
