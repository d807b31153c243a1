package forward

import (
	"context"
	"sync"
)

// legs are the listening legs of sessions that give way to a newer one: a gateway that does not learn that a client left
// would hold the old one, and many servers refuse a second stream of a session.
type legs struct {
	mu sync.Mutex
	of map[string]*leg // by session
}

type leg struct{ end context.CancelCauseFunc }

// take ends the leg that a session has, and notes another until leave is called.
func (l *legs) take(session string, end context.CancelCauseFunc) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if older := l.of[session]; older != nil {
		older.end(errOlder)
	}
	mine := &leg{end}
	l.of[session] = mine
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.of[session] == mine {
			delete(l.of, session)
		}
	}
}
