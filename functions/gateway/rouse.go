package main

import (
	"context"
	"net/http"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
	"mcpgateway/knative/ingress"
)

// nudge is how long a function waits, once the caller has its answer, until what wakes the server is on its way: between calls it
// is frozen.
const nudge = 50 * time.Millisecond

// rouse wakes the caller's server in the background, as a call of theirs would: it counts among their wakes, and where they wake
// servers too often it does nothing.
func (g *gateway) rouse(c *call) {
	woken := make(chan struct{})
	quiet := &call{snapshot: c.snapshot, r: c.r.WithContext(context.WithoutCancel(c.r.Context())), id: c.id, server: c.server, who: c.who,
		entry: c.entry, era: c.era}
	key := c.key()
	if !g.servers.beginRousing(key.ID()) {
		return
	}
	go func() {
		defer close(woken)
		defer g.servers.endRousing(key.ID())
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(quiet.entry.Startup.Timeout))
		defer cancel()
		switch err := g.servers.rouse(ctx, quiet, g.limits); {
		case err == nil:
			g.shelf.forget(quiet.server) // it leaves something else
		case mcp.AsError(err).Status != http.StatusTooManyRequests:
			g.log.Warn("not woken meanwhile", "request", quiet.id, "server", quiet.server, "error", err)
		}
	}()
	if c.metered() {
		select {
		case <-woken:
		case <-time.After(nudge):
		}
	}
}

// beginRousing is false where somebody wakes the instance already.
func (s *servers) beginRousing(key deploy.KeyID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, already := s.rousing[key]; already {
		return false
	}
	s.rousing[key] = struct{}{}
	return true
}

func (s *servers) endRousing(key deploy.KeyID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rousing, key)
}

// rouse wakes an instance for nobody's call: its shim is asked whether it is there.
func (s *servers) rouse(ctx context.Context, c *call, limits *limits) error {
	if s.cluster == nil {
		_, err := s.wake(ctx, c, limits)
		return err
	}
	if err := limits.wake(c); err != nil {
		return err
	}
	at := s.through(s.cluster.At(c.key()))
	err := s.knock(ctx, c, at, false)
	if unknown(err) {
		_, err = s.wake(ctx, c, limits)
	}
	return err
}

// awake tells whether the caller's instance in the cluster is. One of which that cannot be told counts as asleep: it is woken.
func (s *servers) awake(ctx context.Context, c *call) bool {
	return s.inCluster(ctx, c.key(), ingress.Awake, asleepFor) != nil
}
