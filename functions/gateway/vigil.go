package main

import (
	"context"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

// vigil is the look-out for the wake of one instance, in the name of all listeners of it: thousands that look for
// themselves keep the processor from sleeping, and calls from the processor.
type vigil struct {
	waiting int
	woke    chan struct{} // closed when the instance is awake
	end     context.CancelFunc
}

// awaitWake returns nil when the caller's instance was found awake, which is looked for after every pause. It starts
// nothing.
func (s *servers) awaitWake(ctx context.Context, c *call, pause time.Duration) error {
	v := s.joinVigil(c, pause)
	defer s.leaveVigil(c.key().ID(), v)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-v.woke:
		return nil
	}
}

func (s *servers) joinVigil(c *call, pause time.Duration) *vigil {
	key := c.key()
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vigils[key.ID()]
	if v == nil {
		ctx, end := context.WithCancel(context.Background())
		v = &vigil{woke: make(chan struct{}), end: end}
		s.vigils[key.ID()] = v
		go s.watch(ctx, v, key, c.entry, pause)
	}
	v.waiting++
	return v
}

func (s *servers) leaveVigil(key deploy.KeyID, v *vigil) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.waiting--; v.waiting > 0 {
		return
	}
	v.end()
	if s.vigils[key] == v {
		delete(s.vigils, key)
	}
}

// watch looks for the instance until it is awake, or nobody waits for it any more. A look that fails says nothing.
func (s *servers) watch(ctx context.Context, v *vigil, key deploy.Key, entry *catalog.Server, pause time.Duration) {
	next := time.NewTicker(pause)
	defer next.Stop()
	for awake := false; !awake; {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		found, err := s.locate(ctx, key, entry)
		awake = err == nil && found != nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vigils[key.ID()] == v {
		delete(s.vigils, key.ID()) // who comes now begins another
	}
	close(v.woke)
}
