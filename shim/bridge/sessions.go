package bridge

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// maxShared bounds the sessions that share one child: each is a few hundred bytes.
const maxShared = 10_000

// sessions are those of legacy clients.
type sessions struct {
	max   int            // with a child of their own
	ended func(*session) // is told of each that shared one; it must not wait

	mu     sync.Mutex
	all    map[string]*session
	places int // taken by children that are not in all: they start or end
}

// find returns a caller's session while its child lives; nil where there is none, or it is another's.
func (t *sessions) find(id, caller string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[id]
	if s == nil || s.caller != caller {
		return nil
	}
	if s.ended() {
		delete(t.all, id)
		return nil
	}
	return s
}

// add makes a session known. The place that was taken for its child is its own now; where that is shared, room is made.
func (t *sessions) add(s *session) {
	s.id, s.used = rand.Text(), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.own != nil {
		t.places--
	} else {
		t.makeRoom(s.caller)
	}
	t.all[s.id] = s
}

// remove forgets a session. The place of its child stays taken until release. It is false where that was done before.
func (t *sessions) remove(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[s.id] != s {
		return false
	}
	if s.own != nil {
		t.places++
	}
	t.forget(s)
	return true
}

// forget ends a session; the caller holds t.mu.
func (t *sessions) forget(s *session) {
	delete(t.all, s.id)
	s.end()
	if s.own == nil {
		t.ended(s)
	}
}

// release gives a place back that was taken for a child.
func (t *sessions) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.places--
}

// take takes a place for a child of a caller. Where there is none, the session to end for it is returned: the one idle
// for longest of the caller who has most, who may be somebody that opens sessions without end.
func (t *sessions) take(caller string) (victim *session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	if len(t.all)+t.places < t.max {
		t.places++
		return nil, nil
	}
	if victim = t.idlest(caller); victim == nil {
		return nil, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: 5 * time.Second,
			Message: "All of this server's processes are busy; try again, or ask its owner to raise stdio.max"}
	}
	t.forget(victim)
	t.places++
	return victim, nil
}

// sweep forgets sessions whose own child has ended; the caller holds t.mu.
func (t *sessions) sweep() {
	for id, s := range t.all {
		if s.ended() {
			delete(t.all, id)
		}
	}
}

// idlest chooses the session to end for a new one of the caller; t.mu is held. Whoever has fewer than the caller would
// have loses none, or one caller's busy sessions could take the places of all others.
func (t *sessions) idlest(caller string) *session {
	has := map[string]int{caller: 1} // with the new one
	for _, s := range t.all {
		has[s.caller]++
	}
	var found *session
	var since time.Time
	for _, s := range t.all {
		used := s.lastUsed()
		if has[s.caller] >= has[caller] && !s.busy() && (found == nil || has[s.caller] > has[found.caller] || has[s.caller] == has[found.caller] && used.Before(since)) {
			found, since = s, used
		}
	}
	return found
}

// makeRoom forgets one of the sessions that share a child, where there are too many for another of the caller;
// t.mu is held.
func (t *sessions) makeRoom(caller string) {
	if len(t.all) < maxShared {
		return
	}
	if s := t.idlest(caller); s != nil { // whoever has most has as many as the caller at least
		t.forget(s)
	}
}

// list returns all sessions.
func (t *sessions) list() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.all))
}
