package main

import (
	"context"
	"errors"
	"time"

	"mcpgateway/internal/deploy"
)

// lookPause is the least time between two looks that questions cause, however many are asked.
const lookPause = 200 * time.Millisecond

// latecomers ask for what the files did not have a moment ago. The gateway reads the same files by its own clock: what it
// offers already must not be unknown here.
type latecomers struct {
	look func() // reads the files now; nil where there are none to read
	turn chan struct{}
	last time.Time // when the last look began; whoever has the turn reads and writes it
}

func newLatecomers(look func()) latecomers {
	return latecomers{look: look, turn: make(chan struct{}, 1)}
}

// lookAgain returns once the files were read after the question was asked: false where nobody waits for that any more.
func (l *latecomers) lookAgain(ctx context.Context, asked time.Time) bool {
	if l.look == nil {
		return false
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-l.turn }()
	if l.last.After(asked) {
		return true // others wanted to know, too
	}
	select {
	case <-time.After(time.Until(l.last.Add(lookPause))):
	case <-ctx.Done():
		return false
	}
	l.last = time.Now()
	l.look()
	return true
}

func isUnknown(err error) bool {
	e, ok := errors.AsType[*deploy.StartError](err)
	return ok && e.Code == deploy.CodeUnknown
}
