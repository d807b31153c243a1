package ingress

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// How long an answer of the Kubernetes API holds.
const (
	Fresh    = 5 * time.Second  // it is not asked again
	stale    = 60 * time.Second // it holds while the API cannot be asked
	patience = 2 * time.Second  // of one question
)

// autoscalers knows what services do. A thousand listeners of one service ask as one.
type autoscalers struct {
	ask       func(ctx context.Context, service string) (State, error)
	log       *slog.Logger
	questions singleflight.Group

	mu     sync.Mutex
	known  map[string]answer // by service
	swept  time.Time
	silent bool // the API could not be asked the last time
}

// answer is what was found out of a service.
type answer struct {
	state  State
	at     time.Time // when that was so; zero: never asked with success
	tried  time.Time // when it was asked last
	failed error     // the last time
}

func newAutoscalers(a *api, namespace string, log *slog.Logger) *autoscalers {
	ask := func(ctx context.Context, service string) (State, error) {
		text, err := a.podAutoscalers(ctx, namespace, service)
		if err != nil {
			return Asleep, err
		}
		return parseState(text)
	}
	return &autoscalers{ask: ask, log: log, known: map[string]answer{}, swept: time.Now()}
}

// state tells what a service does; trust is for how long one is believed not to be awake. An error means that it is not
// known, since the API cannot be asked for a while.
func (a *autoscalers) state(ctx context.Context, service string, trust time.Duration) (State, error) {
	a.mu.Lock()
	known := a.known[service]
	a.mu.Unlock()
	if known.holds(trust) {
		return known.now()
	}
	// No caller ends the question by leaving: the others still want the answer.
	question := a.questions.DoChan(service, func() (any, error) { return a.refresh(service), nil })
	select {
	case <-ctx.Done():
		return Asleep, ctx.Err()
	case r := <-question:
		return r.Val.(answer).now()
	}
}

// holds tells whether the API need not be asked again. One that fails is left alone for a while.
func (a answer) holds(trust time.Duration) bool {
	if a.failed != nil || a.state == Awake {
		trust = Fresh
	}
	age := time.Since(a.tried)
	return age >= 0 && age < min(trust, Fresh) // the clock may have been set back
}

func (a answer) now() (State, error) {
	if a.failed != nil && time.Since(a.at) >= stale {
		return Asleep, a.failed
	}
	return a.state, nil
}

// refresh asks, and keeps what is known where it gets no answer.
func (a *autoscalers) refresh(service string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	state, err := a.ask(ctx, service)
	now := time.Now().Round(0) // services go on falling asleep while a function is frozen
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweep(now)
	a.note(err)
	known := a.known[service]
	if known.at.After(began) {
		return known // it was heard of meanwhile
	}
	known.tried, known.failed = now, err
	if err == nil {
		known.state, known.at = state, now
	}
	a.known[service] = known
	return known
}

// heard notes that a service has just answered.
func (a *autoscalers) heard(service string) {
	now := time.Now().Round(0)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweep(now)
	a.known[service] = answer{state: Awake, at: now, tried: now}
}

// note logs once that the API is gone, and that it is back: there are many services, and they are asked for all the time.
func (a *autoscalers) note(err error) {
	if silent := err != nil; silent != a.silent {
		a.silent = silent
		if silent {
			a.log.Warn("the cluster does not say which servers are awake: those not heard of for a minute count as asleep", "error", err)
		} else {
			a.log.Info("the cluster says again which servers are awake")
		}
	}
}

// sweep forgets services that nobody asks for.
func (a *autoscalers) sweep(now time.Time) {
	if now.Sub(a.swept) < stale {
		return
	}
	a.swept = now
	for service, known := range a.known {
		if now.Sub(known.tried) >= stale {
			delete(a.known, service)
		}
	}
}
