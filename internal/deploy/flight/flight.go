// Package flight has any number of callers wait for one start of each instance. It starts nothing itself.
package flight

import (
	"context"
	"sync"

	"mcpgateway/internal/deploy"
)

// Board has the starts that are under way, one for each key at most.
type Board struct {
	start   func(deploy.Plan) (deploy.Instance, error)
	mu      sync.Mutex
	flights map[deploy.KeyID]*flight
}

// flight is one start. It goes on when those who wait for it leave: the next one will be glad.
type flight struct {
	hash     string
	landed   chan struct{}
	instance deploy.Instance
	err      error
}

// New returns a board of what start starts, which is called once at a time for each key.
func New(start func(deploy.Plan) (deploy.Instance, error)) *Board {
	return &Board{start: start, flights: map[deploy.KeyID]*flight{}}
}

// Ensure returns what a start of p comes to, one that is under way where there is one. Errors are the start's, or the cause of
// ctx's end.
func (b *Board) Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error) {
	for {
		f := b.flight(p)
		select {
		case <-ctx.Done():
			return deploy.Instance{}, context.Cause(ctx)
		case <-f.landed:
		}
		if f.hash != p.Hash {
			continue // it was another revision's, and so is what became of it
		}
		if f.err != nil {
			return deploy.Instance{}, f.err
		}
		return f.instance, nil
	}
}

// flight returns that of p's key, which it starts if there is none.
func (b *Board) flight(p deploy.Plan) *flight {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := p.Key().ID()
	if f := b.flights[id]; f != nil {
		return f
	}
	f := &flight{hash: p.Hash, landed: make(chan struct{})}
	b.flights[id] = f
	go func() {
		f.instance, f.err = b.start(p)
		b.mu.Lock()
		delete(b.flights, id)
		b.mu.Unlock()
		close(f.landed)
	}()
	return f
}
