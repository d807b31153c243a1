// Package backoff has deployers wait between starts of what keeps failing. It starts nothing itself.
package backoff

import (
	"sync"
	"time"

	"mcpgateway/internal/deploy"
)

// Bounds of the pause after failures.
const (
	maxPause = time.Minute
	steady   = time.Minute      // a group that lived this long did not fail at the start: counting begins again
	forget   = 10 * time.Minute // after the last failure
)

// Backoff counts the failures of each key, and gives a pause after the second in a row: one crash may be bad luck, and
// whoever calls next should not wait for it.
type Backoff struct {
	base time.Duration // the first pause; it doubles
	mu   sync.Mutex
	keys map[deploy.KeyID]*failures
}

type failures struct {
	count int
	last  time.Time
	until time.Time
}

// New returns one whose first pause is base.
func New(base time.Duration) *Backoff {
	return &Backoff{base: base, keys: map[deploy.KeyID]*failures{}}
}

// Fail counts a group of key that was started and failed at the given times.
func (b *Backoff) Fail(key deploy.Key, started, failed time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, f := range b.keys {
		if failed.Sub(f.last) > forget {
			delete(b.keys, id)
		}
	}
	f := b.keys[key.ID()]
	if f == nil {
		f = &failures{}
		b.keys[key.ID()] = f
	}
	if failed.Sub(started) >= steady {
		f.count = 0
	}
	f.count++
	f.last, f.until = failed, failed
	if f.count > 1 {
		f.until = failed.Add(min(maxPause, b.base<<min(f.count-2, 10)))
	}
}

// Pause is how long key must still wait.
func (b *Backoff) Pause(key deploy.Key, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.keys[key.ID()]
	if f == nil {
		return 0
	}
	return max(0, f.until.Sub(now))
}
