package state

import (
	"context"
	"errors"
	"slices"
	"time"

	"mcpgateway/shim/session"
)

// settle reads what is not known of an entry, and writes what is pending. One at a time speaks of a session.
func (k *Keeper) settle(ctx context.Context, e *entry) (err error) {
	select {
	case e.slot <- struct{}{}:
		defer func() { <-e.slot }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for range maxConflict {
		if err = k.read(ctx, e); err == nil {
			err = k.write(ctx, e)
		}
		if !errors.Is(err, ErrConflict) {
			break
		}
	}
	k.tell(err)
	return err
}

// tell says once that the store went away, and once that it is back.
func (k *Keeper) tell(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil && !k.failing:
		k.Logger.Warn("the session store cannot be reached: calls go on without it", "error", err)
	case err == nil && k.failing:
		k.Logger.Info("the session store is back")
	}
	if k.failing = err != nil; k.failing {
		k.down = time.Now().Add(pause)
	}
}

// read finds out what the store has, where that is not known. What is pending goes on top: whoever wrote meanwhile was asked for
// something too.
func (k *Keeper) read(ctx context.Context, e *entry) error {
	k.mu.Lock()
	read := e.read
	k.mu.Unlock()
	if read {
		return nil
	}
	stored, version, err := k.get(ctx, e)
	k.Observed(ctx, "read", err)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	e.stored, e.version, e.read = stored, version, true
	k.renew(e)
	return nil
}

func (k *Keeper) get(ctx context.Context, e *entry) (s State, version string, err error) {
	sealed, version, err := k.Store.Get(ctx, k.name(e))
	if err != nil || version == "" {
		return s, "", err
	}
	plain, err := k.Sealer.OpenRecord(sealed, e.session, e.caller.Issuer, e.caller.Subject)
	if err == nil {
		s, err = readPlain(plain)
	}
	if err != nil {
		// Its keys are gone, or it was not written here. It may say that the client ended the session, so the session is over.
		k.Logger.Error("a session's record cannot be read: the session is over", "error", err)
		s = State{Ended: true}
	}
	return s, version, nil
}

// write writes what is pending, all at once.
func (k *Keeper) write(ctx context.Context, e *entry) error {
	k.mu.Lock()
	next, replaced, writes := e.state, e.version, len(e.pending)
	if writes > 0 && next.equal(e.stored) { // another wrote the same
		e.pending = nil
		writes = 0
	}
	k.mu.Unlock()
	if writes == 0 {
		return nil
	}
	sealed := k.Sealer.SealRecord(e.session, next.plain(), e.caller.Issuer, e.caller.Subject)
	version, err := k.Store.Put(ctx, k.name(e), replaced, sealed, e.session.Opened.Add(session.MaxAge))
	k.Observed(ctx, "write", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil { // also where it was written and only the answer was lost: what the store has is not known
		e.read = false
		return err
	}
	e.stored, e.version, e.pending = next, version, slices.Delete(e.pending, 0, writes)
	return nil
}

func (k *Keeper) name(e *entry) string {
	return k.Sealer.RecordName(e.session, e.caller.Issuer, e.caller.Subject)
}

// renew makes the state anew of what is stored and what is pending; the caller holds k.mu.
func (k *Keeper) renew(e *entry) {
	state := e.stored
	for _, c := range e.pending {
		if next, err := state.with(c); err == nil {
			state = next
		}
	}
	k.bytes += state.size() - e.state.size()
	e.state = state
}

// note remembers a session, of which fresh says that the store has nothing; the caller holds k.mu.
func (k *Keeper) note(s *session.Session, c Caller, fresh bool) *entry {
	e := k.known[s.Name]
	if e == nil {
		for len(k.known) > 0 && (len(k.known) >= maxKnown || k.bytes >= maxBytes) {
			k.forget()
		}
		e = &entry{session: s, caller: c, slot: make(chan struct{}, 1), read: fresh}
		k.known[s.Name] = e
	}
	e.used = time.Now()
	return e
}

// forget forgets the session that nobody asked for longest; the caller holds k.mu.
func (k *Keeper) forget() {
	var oldest session.Name
	var since time.Time
	for name, e := range k.known {
		if since.IsZero() || e.used.Before(since) {
			oldest, since = name, e.used
		}
	}
	if len(k.known[oldest].pending) > 0 {
		k.Logger.Error("what the client of a session asked for is lost: the session store was away for too long")
	}
	k.forgot = true
	k.bytes -= k.known[oldest].state.size()
	delete(k.known, oldest)
}

// waiting are the entries that have something pending.
func (k *Keeper) waiting() (all []*entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.known {
		if len(e.pending) > 0 {
			all = append(all, e)
		}
	}
	return all
}

// retryLater has what is pending be written when the store is back.
func (k *Keeper) retryLater() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.retrying {
		return
	}
	k.retrying = true
	time.AfterFunc(pause, k.retry)
}

func (k *Keeper) retry() {
	k.mu.Lock()
	k.retrying = false
	k.mu.Unlock()
	for _, e := range k.waiting() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := k.settle(ctx, e)
		cancel()
		if err != nil {
			k.retryLater()
			return
		}
	}
}
