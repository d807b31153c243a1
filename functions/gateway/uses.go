package main

import (
	"context"
	"sync"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

// uses knows when instances of a cluster were last called. Knative counts every request, a listener's for as long as it is
// open and a ping by a client's clock too: what is sent to an instance that nobody calls keeps it awake for ever. (Beside the
// gateway it is the shim that decides when it leaves, and it counts calls only.)
type uses struct {
	mu    sync.Mutex
	of    map[deploy.KeyID]*use
	swept time.Time
}

type use struct {
	last    time.Time     // when a call was answered
	waiting int           // for the next call
	called  chan struct{} // closed by the next call
}

// forgetUse is when an instance that nobody calls is forgotten: it sleeps by then, however long it may idle.
const forgetUse = 25 * time.Hour

// call notes that a call was answered.
func (u *uses) call(key deploy.KeyID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	o := u.get(key)
	o.last = time.Now().Round(0) // instances go on falling asleep while a function is frozen
	close(o.called)
	o.called = make(chan struct{})
}

// within tells whether a call was answered in the time that has just passed.
func (u *uses) within(key deploy.KeyID, d time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	o := u.of[key]
	return o != nil && time.Since(o.last) < d
}

// next waits for a call, d at most.
func (u *uses) next(ctx context.Context, key deploy.KeyID, d time.Duration) error {
	u.mu.Lock()
	o := u.get(key)
	o.waiting++
	called := o.called
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		o.waiting--
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-called:
	case <-timer.C:
	}
	return nil
}

// get returns an instance's; the caller holds u.mu.
func (u *uses) get(key deploy.KeyID) *use {
	now := time.Now()
	if now.Sub(u.swept) > time.Minute {
		u.swept = now
		for k, o := range u.of {
			if o.waiting == 0 && now.Sub(o.last) > forgetUse {
				delete(u.of, k)
			}
		}
	}
	o := u.of[key]
	if o == nil {
		o = &use{called: make(chan struct{})}
		u.of[key] = o
	}
	return o
}

// Until an instance that nobody calls is taken down: its time to idle, six seconds at least (Knative's smallest window), and
// what Knative takes to find out.
const (
	leastWindow = 6 * time.Second
	takedown    = 10 * time.Second
)

// rest waits after a leg that ended in silence. The next one is opened when somebody called, or when an instance that nobody
// calls would be gone: if it is there all the same, somebody calls it through another gateway. Without a cluster there is
// nothing to wait for.
func (s *servers) rest(ctx context.Context, c *call) error {
	if s.cluster == nil {
		return nil
	}
	return s.uses.next(ctx, c.key().ID(), window(c.entry)+takedown)
}

func window(entry *catalog.Server) time.Duration {
	return max(time.Duration(entry.Scale.Idle), leastWindow)
}
