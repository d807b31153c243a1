package mirror

import (
	"context"
	"time"
)

// How old the copy may be. A change is in force within a minute, and few requests wait for that to be found out.
const (
	lookAfter = 20 * time.Second // it is looked into beside a request
	waitAfter = time.Minute      // a request waits until it was
	giveUp    = 2 * time.Second  // of one look; then the copy stays in force
	again     = 5 * time.Second  // after a look that failed
)

// Keep has the copy be no older than a minute, where the objects can be asked for. It is called with every request.
func (m *Mirror) Keep(ctx context.Context) {
	for range 2 { // the look under way may be from before we were frozen, and end in an error
		flight, wait := m.begin()
		if !wait || flight == nil {
			return
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return
		}
	}
}

// begin returns the look that is under way, a new one where it is time for it, nil else; and whether to wait for it.
func (m *Mirror) begin() (flight chan struct{}, wait bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now()
	age := at.Sub(m.checked)
	if m.flight == nil && (within(age, lookAfter) || within(at.Sub(m.tried), again)) {
		return nil, false
	}
	if m.flight == nil {
		m.tried, m.flight = at, make(chan struct{})
		go m.look(at, m.flight)
	}
	return m.flight, !within(age, waitAfter)
}

// within is false for a time that is to come, too: the clock was set back.
func within(age, most time.Duration) bool { return age >= 0 && age < most }

func (m *Mirror) look(began time.Time, done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), giveUp) // of nobody: others wait for the same look
	defer cancel()
	err := m.Look(ctx)
	if err != nil {
		m.Logger.Warn("documents not looked at, the copy stays in force", "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.checked = began
	}
	m.flight = nil
	close(done)
}

// Watch is Keep by a clock, for a process that is never frozen.
func (m *Mirror) Watch(ctx context.Context) {
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.Keep(ctx)
		}
	}
}
