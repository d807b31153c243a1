package hostile

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// bystander is somebody who uses another server all the time, and must notice nothing.
type bystander struct {
	stop context.CancelFunc

	mu    sync.Mutex
	calls []served
}

// served is one of the calls.
type served struct {
	began time.Time
	took  time.Duration
	err   error
}

// bystanderPause is between two calls.
const bystanderPause = 100 * time.Millisecond

func startBystander(ctx context.Context, r *rig) (*bystander, error) {
	c, err := r.client(ctx, carol, serverBystander)
	if err != nil {
		return nil, err
	}
	if got, err := c.callModern(ctx, "pid", noArguments); err != nil {
		return nil, fmt.Errorf("the bystander's first call: %w", err)
	} else if got.status != http.StatusOK {
		return nil, fmt.Errorf("the bystander's first call: %s", got)
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	b := &bystander{stop: func() { cancel(); <-over }}
	go func() {
		defer close(over)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(bystanderPause):
				b.use(ctx, c)
			}
		}
	}()
	return b, nil
}

func (b *bystander) use(ctx context.Context, c *client) {
	s := served{began: time.Now()}
	got, err := c.callModern(ctx, "pid", noArguments)
	s.took, s.err = time.Since(s.began), err
	if err == nil && (got.status != http.StatusOK || got.last().text() == "") {
		s.err = fmt.Errorf("it got %s", got)
	}
	if ctx.Err() != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, s)
}

// since is the slowest call that was under way after a moment, once another has ended: one that hangs must count.
func (b *bystander) since(ctx context.Context, moment time.Time) (slowest time.Duration, err error) {
	for seen := b.count(); b.count() == seen; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(bystanderPause / 10):
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.calls {
		if s.began.Add(s.took).Before(moment) {
			continue
		}
		slowest = max(slowest, s.took)
		if s.err != nil {
			err = s.err
		}
	}
	return slowest, err
}

func (b *bystander) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.calls)
}
