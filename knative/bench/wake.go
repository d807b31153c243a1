package main

import (
	"context"
	"fmt"
	"time"
)

// wake is one call that woke a service.
type wake struct {
	seen
	sent, answered time.Time // answered: the first byte was there
	node           podLog
}

// wakeOnce calls a sleeping service.
func (r *rig) wakeOnce(ctx context.Context, t target) (wake, error) {
	witness, err := r.watch(ctx, t)
	if err != nil {
		return wake{}, err
	}
	w := wake{sent: time.Now()}
	if w.answered, err = t.call.FirstByte(ctx); err != nil {
		witness.end()
		return w, fmt.Errorf("wake %s: %w", t.name, err)
	}
	w.seen = witness.told(ctx)
	return w, nil
}

// stages are what a wake consists of, each until the named thing has happened.
var stages = []struct {
	name  string
	until func(wake) time.Time
}{
	{"scaled: deployment's replicas", func(w wake) time.Time { return w.scaled }},
	{"API: pod created", func(w wake) time.Time { return w.created }},
	{"schedule: pod bound", func(w wake) time.Time { return w.bound }},
	{"sandbox there", func(w wake) time.Time { return w.node.sandbox }},
	{"start: last container started", func(w wake) time.Time { return w.node.started }},
	{"relist: kubelet noticed", func(w wake) time.Time { return w.node.noticed }},
	{"ready: pod ready", func(w wake) time.Time { return w.ready }},
	{"first byte", func(w wake) time.Time { return w.answered }},
}

// complete is an error where something of a wake is not known, or cannot be of it.
func (w wake) complete() error {
	for _, s := range stages[:relist+1] { // what the API says of readiness comes late or not at all
		switch t := s.until(w); {
		case t.IsZero():
			return fmt.Errorf("pod %s: nothing tells of %q", w.pod, s.name)
		case t.Before(w.sent):
			return fmt.Errorf("pod %s: %q was before the call", w.pod, s.name)
		}
	}
	return nil
}

// parts are how long the stages took; together they are the whole wake. What is heard of late, or happens after the
// answer, takes nothing.
func (w wake) parts() []time.Duration {
	took := make([]time.Duration, len(stages))
	last := w.sent
	for i, s := range stages {
		t := s.until(w)
		if t.After(w.answered) {
			t = w.answered
		}
		if t.After(last) {
			took[i], last = t.Sub(last), t
		}
	}
	return took
}

// relist is the stage in which the kubelet has started everything and has not looked yet.
const relist = 5

// whole is how long it took; without, but for the wait for the kubelet's relist.
func (w wake) whole() time.Duration   { return w.answered.Sub(w.sent) }
func (w wake) without() time.Duration { return w.whole() - w.parts()[relist] }
