package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/knative/ingress"
)

const (
	// slowStart is how long a call waits for its instance before anybody asks what keeps it: longer than a start that goes
	// well.
	slowStart = 3 * time.Second
	// lookAgain is how long it waits until that is asked again.
	lookAgain = 2 * time.Second
	// reasonTimeout is how long the deployer may take to say what keeps an instance.
	reasonTimeout = 10 * time.Second
)

// patience is a call's with an instance that it woke. An ingress only lets a caller wait: why nothing comes, and when there
// is no hope, is for the cluster and the deployer to say. An instance that is there is at work, and may be for long.
type patience struct {
	servers *servers
	call    *call
	began   time.Time
	giveUp  context.CancelCauseFunc
	over    atomic.Bool // by the answer, or by giving up
	timer   *time.Timer
}

// await begins to watch over a call that is about to be sent with ctx.
func (s *servers) await(ctx context.Context, c *call, giveUp context.CancelCauseFunc) *patience {
	p := &patience{servers: s, call: c, began: time.Now(), giveUp: giveUp}
	p.timer = time.AfterFunc(slowStart, func() { p.look(ctx) })
	p.timer.Reset(min(s.slow, p.left())) // only now: look sets the timer again, and must find it
	return p
}

// answered ends the watch. It is false where the call was given up before.
func (p *patience) answered() bool {
	p.timer.Stop()
	return p.over.CompareAndSwap(false, true)
}

// left is what is left of the time in which the instance may start.
func (p *patience) left() time.Duration {
	return time.Duration(p.call.entry.Startup.Timeout) - time.Since(p.began)
}

func (p *patience) look(ctx context.Context) {
	if p.over.Load() {
		return
	}
	state, err := p.servers.cluster.State(ctx, p.call.key(), asleepFor)
	var hopeless error
	late := p.left() <= 0
	switch awake := err == nil && state == ingress.Awake; {
	case awake && time.Since(p.began) > ingress.Fresh, err != nil && late:
		return // it is at work, or may be: who cannot be asked says nothing against it
	case awake: // when the call was sent, and perhaps of a revision that another has just replaced
	case late:
		hopeless = errNotStarted
	case err == nil:
		hopeless = p.servers.hindrance(ctx, p.call)
	}
	again := lookAgain
	if !late { // to say what keeps it may have taken the rest of its time
		again = max(min(again, p.left()), 0)
	}
	switch {
	case hopeless != nil && p.over.CompareAndSwap(false, true):
		p.giveUp(hopeless)
	case !p.over.Load():
		p.timer.Reset(again)
	}
}

// hindrance is what keeps an instance from starting, nil where nothing is known to. All who wait ask as one.
func (s *servers) hindrance(ctx context.Context, c *call) error {
	flight := s.flights.DoChan("why\x00"+c.key().ID().Text(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reasonTimeout)
		defer cancel()
		_, err := s.deployer.Ensure(ctx, c.key())
		return nil, err
	})
	select {
	case <-ctx.Done():
		return nil
	case r := <-flight:
		var known *deploy.StartError
		if !errors.As(r.Err, &known) || errors.Is(known, deploy.ErrAway) {
			return nil
		}
		return known
	}
}
