package bridge

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// maxShared bounds the sessions that share one child: each is a few hundred bytes.
const maxShared = 10_000

// sessions are those of legacy clients.
type sessions struct {
	max int // with a child of their own

	mu       sync.Mutex
	all      map[string]*session
	starting int // places taken by children that are not yet in all
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

// add makes a session known. The place that was taken for its child is its own now.
func (t *sessions) add(s *session) {
	s.id, s.used = rand.Text(), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.own != nil {
		t.starting--
	}
	t.all[s.id] = s
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, s.id)
}

// release gives a place back that was taken for a child.
func (t *sessions) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.starting--
}

// take takes a place for a child of a caller. Where there is none, the session to end for it is returned: the one idle
// for longest of the caller who has most, who may be somebody that opens sessions without end.
func (t *sessions) take(caller string) (victim *session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	if len(t.all)+t.starting < t.max {
		t.starting++
		return nil, nil
	}
	if victim = t.idlest(caller); victim == nil {
		return nil, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: 5 * time.Second,
			Message: "All of this server's processes are busy; try again, or ask its owner to raise stdio.max"}
	}
	delete(t.all, victim.id)
	t.starting++
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

// idlest chooses the session to end for a new one of the caller; t.mu is held.
func (t *sessions) idlest(caller string) *session {
	has := map[string]int{caller: 1} // with the new one
	for _, s := range t.all {
		has[s.caller]++
	}
	var found *session
	var since time.Time
	for _, s := range t.all {
		used := s.lastUsed()
		if s.own.underWay() == 0 && (found == nil || has[s.caller] > has[found.caller] || has[s.caller] == has[found.caller] && used.Before(since)) {
			found, since = s, used
		}
	}
	return found
}

// makeRoom forgets the longest unused of the sessions that share a child, where there are too many.
func (t *sessions) makeRoom() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) < maxShared {
		return
	}
	var found *session
	for _, s := range t.all {
		if found == nil || s.lastUsed().Before(found.lastUsed()) {
			found = s
		}
	}
	delete(t.all, found.id)
}

// each calls f with every session.
func (t *sessions) each(f func(*session)) {
	t.mu.Lock()
	all := make([]*session, 0, len(t.all))
	for _, s := range t.all {
		all = append(all, s)
	}
	t.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}

// pipes returns the children that sessions have of their own.
func (t *sessions) pipes() []*pipe {
	var pipes []*pipe
	t.each(func(s *session) {
		if s.own != nil {
			pipes = append(pipes, s.own)
		}
	})
	return pipes
}
