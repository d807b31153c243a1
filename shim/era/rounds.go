package era

import (
	"crypto/rand"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// Bounds of the calls that wait for what their clients are asked for.
const (
	maxParked   = 1000
	parkedOfOne = 16 // of one caller
	parkedFor   = 10 * time.Minute
	maxAsked    = 32 // questions of one call
	gathered    = 50 * time.Millisecond
)

// rounds are the calls that wait: the server's stream is open, and the client will come again with what it was asked for
// (MCP 2026-07-28, patterns, multi round-trip requests).
type rounds struct {
	mu  sync.Mutex
	all map[handle]*parked
}

// handle is a round's name. It is used once.
type handle [16]byte

// parked is a call that waits.
type parked struct {
	handle handle
	caller string
	call   *modernCall
	since  time.Time
	expire *time.Timer
}

// question is a request of the server to the client.
type question struct {
	key    string
	id     mcp.Token
	method string
	params mcp.Token
}

// park keeps a call until its client comes again, and returns the round's name. Where there is no room, the caller's own
// oldest goes; it is false where the caller has none.
func (p *rounds) park(caller string, c *modernCall) (handle, bool) {
	p.mu.Lock()
	own := 0
	var oldest *parked
	for _, w := range p.all {
		if w.caller == caller {
			if own++; oldest == nil || w.since.Before(oldest.since) {
				oldest = w
			}
		}
	}
	if full := own >= parkedOfOne || len(p.all) >= maxParked; !full {
		oldest = nil
	} else if oldest == nil {
		p.mu.Unlock()
		return handle{}, false
	} else {
		delete(p.all, oldest.handle)
	}
	w := &parked{caller: caller, call: c, since: time.Now()}
	_, _ = rand.Read(w.handle[:]) // never fails
	p.all[w.handle] = w
	w.expire = time.AfterFunc(parkedFor, func() {
		if p.take(w.handle, caller) != nil {
			w.call.cancel("no answer came")
		}
	})
	p.mu.Unlock()
	if oldest != nil {
		oldest.expire.Stop()
		oldest.call.cancel("too many calls wait")
	}
	return w.handle, true
}

// take returns a caller's call that waits, once; nil where there is none.
func (p *rounds) take(h handle, caller string) *modernCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.all[h]
	if w == nil || w.caller != caller {
		return nil
	}
	delete(p.all, h)
	w.expire.Stop()
	return w.call
}
