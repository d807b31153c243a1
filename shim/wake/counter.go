// Package wake knows whether anybody uses the server: it counts calls under way and says when there were none for long
// enough. Listeners, pings and probes are no calls, or nothing would ever sleep.
package wake

import (
	"sync"
	"time"
)

// Counter counts calls under way.
type Counter struct {
	idle   time.Duration
	onIdle func()

	mu    sync.Mutex
	calls int
	last  time.Time // when the last call ended, or the server was ready; until then a time to come
	ready bool
	timer *time.Timer
}

// NewCounter calls onIdle, once and in a goroutine of its own, when there was no call for idle since the server was
// ready. One that is not ready after startup counts as ready then: a slow start is no idleness, one without end is.
// With idle 0 it never calls: then somebody else watches (Knative).
func NewCounter(idle, startup time.Duration, onIdle func()) *Counter {
	c := &Counter{idle: idle, onIdle: onIdle, last: time.Now().Add(startup)}
	if idle > 0 {
		c.mu.Lock() // the timer may be over before it is known here
		defer c.mu.Unlock()
		c.timer = time.AfterFunc(startup+idle, c.check)
	}
	return c
}

// Ready notes that the server can be called. Only the first time counts: who asks again and again keeps nobody awake.
func (c *Counter) Ready() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isReady()
}

// isReady begins the idle time; the caller holds c.mu.
func (c *Counter) isReady() {
	if c.ready {
		return
	}
	c.ready = true
	if now := time.Now(); c.last.After(now) {
		c.last = now
	}
	if c.timer != nil {
		c.timer.Reset(c.idle)
	}
}

// Begin counts a call until the function that it returns is called.
func (c *Counter) Begin() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isReady()
	c.calls++
	return sync.OnceFunc(c.end)
}

func (c *Counter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls--
	c.last = time.Now()
}

// check runs when the counter can have been idle for long enough, and looks whether it was. Calls move no timer: that
// would wake a thread for each of them.
func (c *Counter) check() {
	c.mu.Lock()
	left := c.idle
	if c.calls == 0 {
		left -= time.Since(c.last)
	}
	if left > 0 {
		c.timer.Reset(left)
	}
	c.mu.Unlock()
	if left <= 0 {
		c.onIdle()
	}
}

// Busy tells whether there was a call within a time.
func (c *Counter) Busy(within time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls > 0 || time.Since(c.last) < within
}
