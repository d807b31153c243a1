package bridge

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what one child has us log. The burst is for what programs say when they start, and when they fail.
const (
	linesPerSecond = 10
	linesAtOnce    = 200
	droppedEvery   = 10 * time.Second // how often it is said at most that lines were dropped
)

// quota bounds the lines that one child has us log. What is too much is dropped: to wait would hold up the child.
type quota struct {
	log     *slog.Logger
	limiter *rate.Limiter

	mu      sync.Mutex
	dropped int
}

func newQuota(log *slog.Logger) *quota {
	return &quota{log: log, limiter: rate.NewLimiter(linesPerSecond, linesAtOnce)}
}

// take tells whether a line may be logged. Where it may not, it is counted, and the count logged some time later.
func (q *quota) take() bool {
	if q.limiter.Allow() {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped++; q.dropped == 1 {
		time.AfterFunc(droppedEvery, q.say)
	}
	return false
}

// say logs how many lines were dropped since it last was said.
func (q *quota) say() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped > 0 {
		q.log.Warn("the server writes too much: lines of it are not logged", "dropped", q.dropped)
	}
	q.dropped = 0
}
