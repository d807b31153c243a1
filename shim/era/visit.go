package era

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// Bounds of the sessions of legacy clients whose server has none.
const (
	maxVisits    = 10_000
	visitsOfOne  = 100      // of one caller
	maxClient    = 16 << 10 // bytes of what a client says of itself
	maxResources = 1000     // that a session subscribes to
)

// visits are the sessions that legacy clients have with a server that knows none.
type visits struct {
	mu  sync.Mutex
	all map[string]*visit
}

// visit is one of them: what the client said that each request must repeat, and what is under way.
type visit struct {
	id, caller string
	client     client
	used       time.Time // guarded by visits

	mu     sync.Mutex
	level  mcp.Token // of log messages; nil where the client wants none
	uris   map[string]bool
	calls  map[string]context.CancelFunc // by the client's id
	asked  map[string]chan mcp.Token     // by ours: where the client's answers go
	change chan struct{}                 // closed when uris changed
	ended  chan struct{}                 // closed when the client ended it, or when it made room for another
	listen func()                        // ends the listening stream
}

func newVisit(caller string, c client) *visit {
	return &visit{id: rand.Text(), caller: caller, client: c, used: time.Now(), uris: map[string]bool{}, calls: map[string]context.CancelFunc{},
		asked: map[string]chan mcp.Token{}, change: make(chan struct{}), ended: make(chan struct{}), listen: func() {}}
}

// begin begins a session. Where there are too many, the one goes that was not used longest: of the same caller, if that has
// its share.
func (s *visits) begin(caller string, c client) (*visit, error) {
	if len(c.info)+len(c.capabilities) > maxClient {
		return nil, &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidParams, Message: "clientInfo and capabilities are too long"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	own := 0
	for _, v := range s.all {
		if v.caller == caller {
			own++
		}
	}
	if own >= visitsOfOne || len(s.all) >= maxVisits {
		var oldest *visit
		for _, v := range s.all {
			if (own < visitsOfOne || v.caller == caller) && (oldest == nil || v.used.Before(oldest.used)) {
				oldest = v
			}
		}
		s.end(oldest)
	}
	v := newVisit(caller, c)
	s.all[v.id] = v
	return v, nil
}

// find returns a caller's session; nil where there is none.
func (s *visits) find(id, caller string) *visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.all[id]
	if v == nil || v.caller != caller {
		return nil
	}
	v.used = time.Now()
	return v
}

// end ends a session; the caller holds s.mu.
func (s *visits) end(v *visit) {
	if s.all[v.id] == v {
		delete(s.all, v.id)
		close(v.ended)
	}
}

// began notes a request, for the client to cancel it.
func (v *visit) began(id mcp.Token, cancel context.CancelFunc) (over func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls[string(id)] = cancel
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.calls, string(id))
	}
}

// cancelled cancels a request that the client does not want any more.
func (v *visit) cancelled(id mcp.Token) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if cancel := v.calls[string(id)]; cancel != nil {
		cancel()
	}
}

// ask notes a question to the client, and returns where its answer comes.
func (v *visit) ask(id mcp.Token) (answer <-chan mcp.Token, over func()) {
	c := make(chan mcp.Token, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[string(id)] = c
	return c, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.asked, string(id))
	}
}

// answered takes the client's answer. One that nobody waits for is none.
func (v *visit) answered(m *mcp.Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.asked[string(m.ID)]; c != nil {
		delete(v.asked, string(m.ID))
		c <- m.Raw
	}
}

// setLevel notes which log messages the client wants.
func (v *visit) setLevel(level mcp.Token) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.level = level
}

func (v *visit) logLevel() mcp.Token {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.level
}

// subscribe notes that the client wants to know of changes of a resource, or does no longer. It is false where there are too
// many.
func (v *visit) subscribe(uri string, wanted bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.uris[uri] == wanted {
		return true
	}
	if wanted && len(v.uris) >= maxResources {
		return false
	}
	if delete(v.uris, uri); wanted {
		v.uris[uri] = true
	}
	close(v.change)
	v.change = make(chan struct{})
	return true
}

// subscribed are the resources that the client wants to know of, and what is closed when they change.
func (v *visit) subscribed() (uris []string, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for uri := range v.uris {
		uris = append(uris, uri)
	}
	return uris, v.change
}

// listening has a listening stream take the place of an older one.
func (v *visit) listening(end func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.listen()
	v.listen = end
}
