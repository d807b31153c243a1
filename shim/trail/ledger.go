package trail

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"
)

// noteInterval is how long notes of the same kind are gathered into one line: when things go wrong, they do so with
// every record.
const noteInterval = 10 * time.Second

// ledger counts records that did not go the way they should, and names them.
type ledger struct {
	log   *slog.Logger
	level slog.Level
	what  string

	mu          sync.Mutex
	count       int
	first, last string // ids: all that this process made in between are in order
	reason      string
}

func newLedger(log *slog.Logger, level slog.Level, what string) *ledger {
	return &ledger{log: log, level: level, what: what}
}

func (l *ledger) note(lines [][]byte, reason error) {
	if len(lines) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		l.first = idOf(lines[0])
		time.AfterFunc(noteInterval, l.flush)
	}
	l.count += len(lines)
	l.last = idOf(lines[len(lines)-1])
	if reason != nil {
		l.reason = reason.Error()
	}
}

func (l *ledger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		return
	}
	l.log.Log(context.Background(), l.level, l.what, "records", l.count, "from", l.first, "to", l.last, "reason", l.reason)
	l.count, l.reason = 0, ""
}

func idOf(line []byte) string {
	var r struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(line, &r) // of what is no record there is no id
	return r.ID
}
