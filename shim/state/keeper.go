package state

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"mcpgateway/shim/session"
)

const (
	patience    = 2 * time.Second // of a call, for the store
	pause       = 5 * time.Second // after it failed, in which nothing waits for it
	maxConflict = 4               // attempts to write what others write too
	maxKnown    = 10_000          // sessions that are remembered, and
	maxBytes    = 8 << 20         // bytes of theirs: those that nobody asked for longest go
)

// Config is what a Keeper needs; all fields are required.
type Config struct {
	Store    Store
	Sealer   *session.Sealer
	Life     uint64                                                 // of this shim, see session.Living
	Observed func(ctx context.Context, operation string, err error) // is told of each request to the store: a read or a write
	Logger   *slog.Logger
}

// Caller is whose a session is.
type Caller struct{ Issuer, Subject string }

// Keeper keeps the states of one server's sessions.
type Keeper struct {
	Config
	mu       sync.Mutex
	known    map[session.Name]*entry
	bytes    int
	down     time.Time // until when the store is not asked
	failing  bool      // the last time that it was asked
	forgot   bool      // a session of this life may have a record that is not known
	retrying bool
}

// entry is a session's state, as far as it is known.
type entry struct {
	session *session.Session
	caller  Caller
	slot    chan struct{} // whoever's it is speaks with the store of this session

	// Under the Keeper's lock:
	stored  State    // what the store has, once it was read
	version string   // of it
	read    bool     // it was
	pending []Change // what the store does not have
	state   State    // stored, with pending
	owed    bool     // the server of now does not have it: it was not known then
	used    time.Time
}

// New makes a Keeper.
func New(c Config) (*Keeper, error) {
	if c.Store == nil || c.Sealer == nil || c.Life == 0 || c.Observed == nil || c.Logger == nil {
		return nil, errors.New("session states: every field is required")
	}
	return &Keeper{Config: c, known: map[session.Name]*entry{}}, nil
}

// Ended tells whether a session is over that began in another life. It reads its record, once.
func (k *Keeper) Ended(ctx context.Context, s *session.Session, c Caller) bool {
	if s.Life == k.Life {
		return k.peek(s).Ended
	}
	return k.load(ctx, s, c).Ended
}

// Begin is what a server is to be told of a session that begins again there. Where the store cannot say, TakeOwed does later.
func (k *Keeper) Begin(ctx context.Context, s *session.Session, c Caller) State {
	known := k.load(ctx, s, c)
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.known[s.Name]; e != nil {
		e.owed = !e.read
	}
	return known
}

// TakeOwed is what a server is to be told of a session after all, once.
func (k *Keeper) TakeOwed(s *session.Session) (State, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.known[s.Name]
	if e == nil || !e.owed || !e.read {
		return State{}, false
	}
	e.owed = false
	return e.state, true
}

// Change notes what the session's client asked for and got. It returns when the store has it, or cannot be asked now.
func (k *Keeper) Change(ctx context.Context, s *session.Session, c Caller, changes ...Change) {
	k.mu.Lock()
	e := k.note(s, c, s.Life == k.Life && !k.forgot)
	for _, change := range changes {
		next, err := e.state.with(change)
		if err != nil {
			k.Logger.Warn("a session's client asks for more than can be kept: it is lost with the server's pod", "error", err)
			continue
		}
		if !e.read || !next.equal(e.state) { // of what is not known yet, nothing is said twice
			k.bytes += next.size() - e.state.size()
			e.state, e.pending = next, append(e.pending, change)
		}
	}
	changed := len(e.pending) > 0
	k.mu.Unlock()
	if changed {
		k.ask(ctx, e)
	}
}

// Close writes what is pending, until ctx ends.
func (k *Keeper) Close(ctx context.Context) {
	lost := 0
	for _, e := range k.waiting() {
		if err := k.settle(ctx, e); err != nil {
			lost++
		}
	}
	if lost > 0 {
		k.Logger.Error("what clients of sessions asked for is lost: the session store cannot be reached", "sessions", lost)
	}
}

func (k *Keeper) peek(s *session.Session) State {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.known[s.Name]; e != nil {
		e.used = time.Now()
		return e.state
	}
	return State{}
}

// load is a session's state, which is read where it is not known.
func (k *Keeper) load(ctx context.Context, s *session.Session, c Caller) State {
	k.mu.Lock()
	e := k.note(s, c, false)
	read := e.read
	k.mu.Unlock()
	if !read {
		k.ask(ctx, e)
	}
	return k.peek(s)
}

// ask settles an entry with the patience of a call, unless the store has just failed.
func (k *Keeper) ask(ctx context.Context, e *entry) {
	k.mu.Lock()
	down := time.Now().Before(k.down)
	k.mu.Unlock()
	if !down {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // whoever leaves has asked for it all the same
		defer cancel()
		if k.settle(ctx, e) == nil {
			return
		}
	}
	k.retryLater()
}
