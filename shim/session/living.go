package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// maxLiving bounds how many sessions are remembered that were begun again, and how many that were ended: of each the
// newest. One that was forgotten is begun once more.
const maxLiving = 10_000

// Living knows what became of sessions in this life of the shim: a shim lives as long as the server beside it, so that a
// session that began in another life must be begun again.
type Living struct {
	life uint64

	mu    sync.Mutex
	again map[Name]*again
	ended map[Name]time.Time
}

// again is a session that was or is begun again.
type again struct {
	id     string   // the server's own id now; empty: it is not begun again yet
	answer [8]byte  // what the client knows of the server, see Introduction
	news   []string // methods of notifications that its client is to get
	used   time.Time
	flight *flight
	begun  chan struct{} // closed once it is, the first time
}

// Beginning is what came of a session's beginning.
type Beginning struct {
	ID     string   // the server's own
	Answer [8]byte  // see Introduction
	News   []string // methods of notifications for a client that got another answer before
}

// flight is one beginning. Whoever comes while it lasts gets what comes of it, an error too.
type flight struct {
	done chan struct{}
	id   string
	err  error
}

// NewLiving begins a life.
func NewLiving() *Living {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return &Living{life: binary.BigEndian.Uint64(b[:]), again: map[Name]*again{}, ended: map[Name]time.Time{}}
}

// Life is for sessions that begin now.
func (l *Living) Life() uint64 { return l.life }

// Current is the server's own id of a session, as far as is known here. It is false where the session began in another life.
func (l *Living) Current(s *Session) (id string, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.again[s.Name]; a != nil && a.id != "" {
		a.used = time.Now()
		return a.id, true
	}
	return s.ID, s.Life == l.life
}

// Begin has a session begun again that the server does not know, by lost; that is empty where it has none yet. However many
// ask for it, begin is called once, and goes on when they leave.
func (l *Living) Begin(ctx context.Context, s *Session, lost string, begin func() (Beginning, error)) (string, error) {
	l.mu.Lock()
	a := l.note(s)
	if a.id != "" && a.id != lost {
		defer l.mu.Unlock()
		return a.id, nil
	}
	f := a.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		a.flight = f
		go l.fly(a, f, begin)
	}
	l.mu.Unlock()
	select {
	case <-f.done:
		return f.id, f.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (l *Living) fly(a *again, f *flight, begin func() (Beginning, error)) {
	made, err := begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.id, f.err = made.ID, err; err == nil {
		if a.id == "" {
			close(a.begun)
		}
		if a.id = made.ID; a.answer != made.Answer {
			a.answer, a.news = made.Answer, made.News
		}
	}
	a.flight = nil
	close(f.done)
}

// Begun is closed once a session is begun again that the server does not know, by lost; see Begin.
func (l *Living) Begun(s *Session, lost string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.note(s)
	if a.id != "" && a.id == lost {
		a.id, a.begun = "", make(chan struct{})
	}
	return a.begun
}

// TakeNews returns what the session's client is to be told, once.
func (l *Living) TakeNews(s *Session) (methods []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.again[s.Name]; a != nil {
		methods, a.news = a.news, nil
	}
	return methods
}

// End notes that a session is over: its client said so.
func (l *Living) End(s *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.again, s.Name)
	if len(l.ended) >= maxLiving {
		delete(l.ended, oldest(l.ended, func(t time.Time) time.Time { return t }))
	}
	l.ended[s.Name] = time.Now()
}

// Ended tells whether a session is over.
func (l *Living) Ended(s *Session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ended := l.ended[s.Name]
	return ended
}

// note remembers a session; the caller holds l.mu.
func (l *Living) note(s *Session) *again {
	a := l.again[s.Name]
	if a == nil {
		if len(l.again) >= maxLiving {
			delete(l.again, oldest(l.again, func(a *again) time.Time { return a.used }))
		}
		a = &again{answer: s.Answer, begun: make(chan struct{})}
		l.again[s.Name] = a
	}
	a.used = time.Now()
	return a
}

func oldest[V any](of map[Name]V, used func(V) time.Time) (found Name) {
	var since time.Time
	for n, v := range of {
		if t := used(v); since.IsZero() || t.Before(since) {
			found, since = n, t
		}
	}
	return found
}
