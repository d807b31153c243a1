package main

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
)

// limits bounds what one identity may ask for, so that nobody's runaway agent takes the gateway from the others.
type limits struct {
	most catalog.Limits

	mu    sync.Mutex
	usage map[who]*usage
	swept time.Time
}

type who struct{ issuer, subject string }

// usage is what one identity asks for now.
type usage struct {
	calls    *rate.Limiter
	wakes    *rate.Limiter
	inFlight int
	streams  int
	last     time.Time
}

// forgetAfter is when an identity that asks for nothing is forgotten; by then its limiters are full again.
const forgetAfter = 5 * time.Minute

func newLimits(most catalog.Limits) *limits {
	return &limits{most: most, usage: map[who]*usage{}, swept: time.Now()}
}

// of returns the usage of an identity; the caller holds l.mu.
func (l *limits) of(id identity.Identity) *usage {
	now := time.Now()
	if now.Sub(l.swept) > forgetAfter {
		l.swept = now
		for k, u := range l.usage {
			if u.inFlight == 0 && u.streams == 0 && now.Sub(u.last) > forgetAfter {
				delete(l.usage, k)
			}
		}
	}
	k := who{id.Issuer, id.Subject}
	u := l.usage[k]
	if u == nil {
		u = &usage{
			calls: rate.NewLimiter(rate.Limit(l.most.CallsPerSecond), l.most.Burst),
			wakes: rate.NewLimiter(rate.Limit(float64(l.most.WakesPerMinute)/60), l.most.WakesPerMinute),
		}
		l.usage[k] = u
	}
	u.last = now
	return u
}

// enter counts a call until release is called, or refuses it.
func (l *limits) enter(c *call) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.of(c.who)
	if !u.calls.Allow() {
		return nil, tooMany("Too many calls a second; slow down", time.Second)
	}
	count, most, what := &u.inFlight, l.most.InFlight, "Too many calls under way; wait for some to end"
	if c.listener() {
		count, most, what = &u.streams, l.most.Streams, "Too many listening streams; close some"
	}
	if *count >= most {
		return nil, tooMany(what, 5*time.Second)
	}
	*count++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*count--
	}, nil
}

// wake refuses an identity that starts servers too often.
func (l *limits) wake(id identity.Identity) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.of(id).wakes.Allow() {
		return tooMany("You wake servers too often; try again", time.Minute/time.Duration(max(1, l.most.WakesPerMinute)))
	}
	return nil
}
