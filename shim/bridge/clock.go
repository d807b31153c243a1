package bridge

import (
	"sync"
	"time"
)

// clock tells many when they have waited for long enough. A timer for each would often be the next to fire, for which
// the runtime wakes a thread each time one is set: that costs a short request more than reading it does.
type clock struct {
	waiting time.Duration // how long that is; it may be a fifth more

	mu   sync.Mutex
	tick chan struct{} // closed at the next tick; nil while nobody waits for it
}

// next returns a channel that is closed within a fifth of that time.
func (c *clock) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tick == nil {
		c.tick = make(chan struct{})
		time.AfterFunc(c.waiting/5, c.strike)
	}
	return c.tick
}

func (c *clock) strike() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.tick)
	c.tick = nil
}
