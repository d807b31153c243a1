package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// errNoTurn says that there are too many who wait, or that the wait was too long.
var errNoTurn = errors.New("too many wait for their turn")

// turns gives out places. Where there are not enough, sources take turns, whatever each of them asks for: one that floods waits
// for itself, and others do not wait for it. One has no more than its share, so that there is mostly a place for the next.
type turns struct {
	places, share int // at once: of all, and of one source
	queue, lines  int // that may wait: of one source, and of all

	mu      sync.Mutex
	taken   int
	waiting int
	sources map[string]*source // that have a place, or wait for one
	ring    []*source          // that wait, whose turn is next first
}

type source struct {
	taken   int
	waiting []chan struct{} // closed where a place is given, first come first
}

func newTurns(places, share, queue, lines int) *turns {
	return &turns{places: places, share: share, queue: queue, lines: lines, sources: map[string]*source{}}
}

// take waits for a place until ctx ends; whoever has one gives it back.
func (t *turns) take(ctx context.Context, name string) error {
	t.mu.Lock()
	s := t.sources[name]
	if s == nil {
		s = &source{}
		t.sources[name] = s
	}
	if t.taken < t.places && s.taken < t.share { // who waits has no such place, either
		t.taken++
		s.taken++
		t.mu.Unlock()
		return nil
	}
	if len(s.waiting) >= t.queue || t.waiting >= t.lines {
		t.forget(name, s)
		t.mu.Unlock()
		return errNoTurn
	}
	turn := make(chan struct{})
	t.waiting++
	if s.waiting = append(s.waiting, turn); len(s.waiting) == 1 {
		t.ring = append(t.ring, s)
	}
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return t.leave(name, s, turn)
	}
}

// leave ends a wait, unless the place was given meanwhile.
func (t *turns) leave(name string, s *source, turn chan struct{}) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(s.waiting, turn)
	if at < 0 {
		return nil
	}
	t.waiting--
	if s.waiting = slices.Delete(s.waiting, at, at+1); len(s.waiting) == 0 {
		t.ring = slices.DeleteFunc(t.ring, func(o *source) bool { return o == s })
	}
	t.forget(name, s)
	return errNoTurn
}

// give gives a place back, to whose turn it is.
func (t *turns) give(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[name]
	t.taken--
	s.taken--
	if at := slices.IndexFunc(t.ring, func(o *source) bool { return o.taken < t.share }); at >= 0 {
		next := t.ring[at]
		t.ring = slices.Delete(t.ring, at, at+1)
		close(next.waiting[0])
		if next.waiting = next.waiting[1:]; len(next.waiting) > 0 {
			t.ring = append(t.ring, next)
		}
		t.waiting--
		t.taken++
		next.taken++
	}
	t.forget(name, s)
}

// forget keeps no source that neither has nor waits for a place.
func (t *turns) forget(name string, s *source) {
	if s.taken == 0 && len(s.waiting) == 0 {
		delete(t.sources, name)
	}
}

// sourceOf is where a request comes from, as far as one person commands it: of IPv6 that is a network of 64 bits.
func sourceOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	address := at.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	network, err := address.WithZone("").Prefix(64)
	if err != nil {
		return remote
	}
	return network.String()
}
