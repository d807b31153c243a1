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

func newLimits() *limits {
	return &limits{usage: map[who]*usage{}, swept: time.Now()}
}

// of returns the usage of an identity, by the bounds that are in force for the call; the caller holds l.mu.
func (l *limits) of(id identity.Identity, most catalog.Limits) *usage {
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
			calls: rate.NewLimiter(rate.Limit(most.CallsPerSecond), most.Burst),
			wakes: rate.NewLimiter(perMinute(most.WakesPerMinute), most.WakesPerMinute),
		}
		l.usage[k] = u
	}
	bound(u.calls, rate.Limit(most.CallsPerSecond), most.Burst)
	bound(u.wakes, perMinute(most.WakesPerMinute), most.WakesPerMinute)
	u.last = now
	return u
}

func perMinute(n int) rate.Limit { return rate.Limit(float64(n) / 60) }

// bound puts other bounds in force; what was used up by the old ones stays so.
func bound(r *rate.Limiter, limit rate.Limit, burst int) {
	if r.Limit() != limit {
		r.SetLimit(limit)
	}
	if r.Burst() != burst {
		r.SetBurst(burst)
	}
}

// enter counts a call until release is called, or refuses it.
func (l *limits) enter(c *call) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := c.platform.Limits
	u := l.of(c.who, most)
	if !u.calls.Allow() {
		return nil, tooMany("Too many calls a second; slow down", time.Second)
	}
	count, limit, what := &u.inFlight, most.InFlight, "Too many calls under way; wait for some to end"
	if c.listener() {
		count, limit, what = &u.streams, most.Streams, "Too many listening streams; close some"
	}
	if *count >= limit {
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
func (l *limits) wake(c *call) error {
	most := c.platform.Limits
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.of(c.who, most).wakes.Allow() {
		return tooMany("You wake servers too often; try again", time.Minute/time.Duration(max(1, most.WakesPerMinute)))
	}
	return nil
}
