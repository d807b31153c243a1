package forward

import (
	"context"
	"sync"

	"mcpgateway/shim/session"
)

// legs are the listening legs of sessions that give way to a newer one: a gateway that does not learn that a client left
// would hold the old one, and many servers refuse a second stream of a session.
type legs struct {
	mu sync.Mutex
	of map[session.Name]*leg
}

type leg struct{ end context.CancelCauseFunc }

// take ends the leg that a session has, and notes another until leave is called.
func (l *legs) take(of session.Name, end context.CancelCauseFunc) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if older := l.of[of]; older != nil {
		older.end(errOlder)
	}
	mine := &leg{end}
	l.of[of] = mine
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.of[of] == mine {
			delete(l.of, of)
		}
	}
}
