package bridge

import (
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// Bounds of what waits in a session for a client that does not listen.
const (
	maxHeld      = 256     // messages
	maxHeldBytes = 1 << 20 // of all of them
	maxAsked     = 100     // requests of the child that the client has not answered
)

// session is one legacy client's. Where children are not shared it has its own, and all that one says is for this client.
type session struct {
	id     string
	caller string // whose it is, as the shim says
	alone  bool   // it has a child of its own
	own    *pipe  // that child, from when the session is known

	mu        sync.Mutex
	listener  *outlet // the client's listening stream, the newest
	held      [][]byte
	heldBytes int
	lost      int                 // messages that did not fit
	asked     map[string]struct{} // ids of the child's requests, for the client to answer
	used      time.Time
	over      bool
}

func (s *session) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = time.Now()
}

// stray takes what the session's own child says beside its answers: log messages, changes, requests to the client. They
// go out on one stream only (MCP 2025-11-25, transports, "sending messages"): that of the newest request, or else the
// listening one, or wait for that.
func (s *session) stray(p *pipe, m mcp.Labelled) {
	if m.Kind == mcp.Request && !s.ask(m) {
		p.reply(m, replyNobody)
		return
	}
	if m.Method == "notifications/cancelled" {
		s.answered(m.Request.Token) // the child waits for it no longer
	}
	s.tell(p, m.Relabel(), p.used().patience)
}

// ask notes that the client may answer a request; it is false where too many wait.
func (s *session) ask(m mcp.Labelled) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) >= maxAsked {
		return false
	}
	if s.asked == nil {
		s.asked = map[string]struct{}{}
	}
	s.asked[string(m.ID.Token)] = struct{}{}
	return true
}

// answered tells whether the child asked for this answer and did not get it yet.
func (s *session) answered(id mcp.Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.asked[string(id)]
	delete(s.asked, string(id))
	return ok
}

// tell sends a message on one of the client's streams.
func (s *session) tell(p *pipe, line []byte, patience time.Duration) {
	if s.alone {
		x := p.newest(func(x *exchange) bool { return x.streams && x.method != "initialize" })
		if x != nil && x.to.put(message{line: line}, patience) {
			return
		}
	}
	s.deliver(line, patience)
}

// deliver sends a message on the listening stream, or keeps it for the next.
func (s *session) deliver(line []byte, patience time.Duration) {
	for {
		s.mu.Lock()
		listener := s.listener
		if listener == nil {
			s.hold(line)
		}
		s.mu.Unlock()
		if listener == nil || listener.put(message{line: line}, patience) {
			return
		}
		s.forget(listener)
	}
}

// forget notes that nobody reads a listening stream any more.
func (s *session) forget(o *outlet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == o {
		s.listener = nil
	}
}

// hold keeps a message for the client's next listening stream; the oldest go where there are too many. The caller holds
// s.mu.
func (s *session) hold(line []byte) {
	s.held = append(s.held, line)
	s.heldBytes += len(line)
	for len(s.held) > maxHeld || s.heldBytes > maxHeldBytes {
		s.heldBytes -= len(s.held[0])
		s.held, s.lost = s.held[1:], s.lost+1
	}
}

// listen makes the outlet the client's listening stream, in place of an older one, and returns what was held for it.
func (s *session) listen(o *outlet) (held [][]byte, lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.leave()
	}
	s.listener = o
	if s.over {
		o.leave()
	}
	held, lost = s.held, s.lost
	s.held, s.heldBytes, s.lost = nil, 0, 0
	return held, lost
}

// unlisten ends a listening stream. What it did not send is for another.
func (s *session) unlisten(o *outlet, unsent [][]byte) {
	s.forget(o)
	for _, line := range append(unsent, o.rest()...) {
		s.deliver(line, patienceShared)
	}
}

// end ends the session's listening stream, and all that come.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.listener != nil {
		s.listener.leave()
	}
}

// ending tells whether the session was ended.
func (s *session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// ended tells whether the session is over because its child is.
func (s *session) ended() bool {
	if s.own == nil {
		return false
	}
	select {
	case <-s.own.ended:
		return true
	default:
		return false
	}
}

// busy tells whether its own child has something to do.
func (s *session) busy() bool { return s.own != nil && s.own.underWay() > 0 }

func (s *session) lastUsed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
