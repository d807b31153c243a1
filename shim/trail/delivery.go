package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/audit/spool"
)

// delivery sends what is in the spools. All reading of them is done by one goroutine, run, and at the end by close.
type delivery struct {
	Config
	trail *Trail
	spool *spool.Spool
	log   *slog.Logger
	old   spool.Position // what was before it is from an earlier process

	kick   chan struct{} // holds a word when something may be due
	stop   chan struct{} // closed by close
	ended  chan struct{} // closed when run returned
	ctx    context.Context
	cancel context.CancelFunc // ends an attempt under way

	mu        sync.Mutex
	pending   int       // records that this process added and did not send yet
	since     time.Time // when the first of them was added
	backlog   bool      // there are records of an earlier process
	waiters   []waiter
	delivered spool.Position
	down      error // why the last attempt failed
}

// waiter is somebody who waits for the sink to have what is before a place.
type waiter struct {
	at   spool.Position
	done chan error // has room for one
}

func newDelivery(c Config, t *Trail) *delivery {
	d := &delivery{Config: c, trail: t, spool: c.Spool, log: c.Logger, old: c.Spool.End(), backlog: c.Spool.Bytes() > 0,
		kick: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// added is told of each append.
func (d *delivery) added(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pending == 0 {
		d.since = time.Now()
		d.wake()
	}
	if d.pending += n; d.pending >= d.Records {
		d.wake()
	}
}

func (d *delivery) wake() {
	select {
	case d.kick <- struct{}{}:
	default: // one is there already
	}
}

// wait returns when the sink has what is before at, or will not have it in time.
func (d *delivery) wait(at spool.Position) error {
	w := waiter{at, make(chan error, 1)}
	d.mu.Lock()
	if !at.After(d.delivered) {
		d.mu.Unlock()
		return nil
	}
	d.waiters = append(d.waiters, w)
	d.wake()
	d.mu.Unlock()
	timer := time.NewTimer(d.Patience)
	defer timer.Stop()
	select {
	case err := <-w.done:
		return err
	case <-timer.C:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.waiters {
		if d.waiters[i].done == w.done {
			d.waiters = append(d.waiters[:i], d.waiters[i+1:]...)
			break
		}
	}
	err := fmt.Errorf("the audit sink did not take the record within %v", d.Patience)
	if d.down == nil {
		d.down = err // until it takes one: whoever comes next must not run for nothing
	}
	return err
}

func (d *delivery) trouble() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down
}

// run sends until close is called.
func (d *delivery) run() {
	defer close(d.ended)
	for {
		wait, something := d.due()
		if something && wait <= 0 {
			if !d.next(d.spool) {
				return
			}
			continue
		}
		if len(d.Abandoned) > 0 {
			if !d.next(d.Abandoned[0]) {
				return
			}
			continue
		}
		var timer <-chan time.Time
		if something {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-d.kick:
		case <-d.stop:
			return
		}
	}
}

// due says in how long the next batch is to be sent, and whether there is anything.
func (d *delivery) due() (wait time.Duration, something bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.backlog || len(d.waiters) > 0 || d.pending >= d.Records {
		return 0, true
	}
	return d.Interval - time.Since(d.since), d.pending > 0
}

// next delivers one batch of a spool, however often it takes. It is false where the trail is closed before.
func (d *delivery) next(s *spool.Spool) bool {
	select {
	case <-d.stop:
		return false
	default:
	}
	b, err := s.Next(spool.Limits{Records: d.Records, Bytes: batchBytes})
	if err != nil {
		d.log.Error("audit spool", "error", err)
	}
	if err != nil && !b.End.After(b.From) { // nothing can be read: not now at least
		d.settle(s, b, err)
		return d.pause(d.Backoff)
	}
	if s == d.spool {
		d.taken(b)
	}
	for failures := 0; b.End.After(b.From); failures++ {
		ok, retry := d.attempt(d.ctx, s, &b)
		if ok {
			break
		}
		if !d.pause(max(retry, d.backoff(failures))) {
			return false
		}
	}
	if s != d.spool && s.Bytes() == 0 {
		d.Abandoned = d.Abandoned[1:]
		if err := s.Remove(); err != nil {
			d.log.Error("audit spool not removed", "error", err)
		}
	}
	return true
}

// taken counts what is sent now. Whoever waits and is not in the spool yet will not be found by it.
func (d *delivery) taken(b spool.Batch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.backlog = d.old.After(b.End) && b.End.After(b.From); d.backlog {
		return
	}
	if d.pending = max(0, d.pending-len(b.Records)); !b.End.After(b.From) {
		d.pending = 0
	}
	d.since = time.Now()
}

// attempt tries to deliver b once. It is false where b must be tried again, after a time that the sink asked for.
func (d *delivery) attempt(ctx context.Context, s *spool.Spool, b *spool.Batch) (ok bool, retry time.Duration) {
	if b.Damaged > 0 {
		d.log.Error("damaged audit records", "lines", b.Damaged)
		b.Damaged = 0
	}
	var err error
	if len(b.Records) > 0 {
		err = d.Sink.Send(ctx, b.Key, b.Records)
	}
	f, known := errors.AsType[*sink.Failure](err)
	switch {
	case err == nil:
		d.up()
	case known && f.TooLarge && len(b.Records) > 1:
		d.narrow(s, b)
		return false, 0
	case known && (f.Final || f.TooLarge):
		// It would keep all others from being delivered, for ever.
		_ = d.trail.divert(b.Records, err) // both outcomes are logged
	default:
		d.failed(err, s)
		if known {
			retry = f.RetryAfter
		}
		return false, retry
	}
	if err := s.Done(*b); err != nil {
		d.log.Error("audit spool", "error", err)
	}
	d.settle(s, *b, err)
	return true, 0
}

// narrow leaves half of b for later.
func (d *delivery) narrow(s *spool.Spool, b *spool.Batch) {
	whole := len(b.Records)
	var err error
	if *b, err = s.Narrow(*b); err != nil {
		d.log.Error("audit spool", "error", err)
	}
	if s == d.spool {
		d.mu.Lock()
		d.pending += whole - len(b.Records)
		d.mu.Unlock()
	}
}

// settle tells those who wait for what b holds.
func (d *delivery) settle(s *spool.Spool, b spool.Batch, err error) {
	if s != d.spool {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.delivered = b.End
	}
	left := d.waiters[:0]
	for _, w := range d.waiters {
		if err == nil && w.at.After(b.End) {
			left = append(left, w)
			continue
		}
		w.done <- err
	}
	clear(d.waiters[len(left):])
	d.waiters = left
}

func (d *delivery) up() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		d.log.Info("the audit sink takes records again")
		d.down = nil
	}
}

// failed is logged where it is new.
func (d *delivery) failed(err error, s *spool.Spool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down == nil || d.down.Error() != err.Error() {
		d.log.Warn("the audit sink takes no records; they are kept and sent again", "error", err, "bytes", s.Bytes())
	}
	d.down = err
}

// backoff is a time between half and whole of what doubles with each failure, so that many shims do not come back to a
// sink at once.
func (d *delivery) backoff(failures int) time.Duration {
	most := min(d.Backoff<<min(failures, 16), maxBackoff)
	return most/2 + rand.N(most/2+1)
}

// pause is false where the trail is closed.
func (d *delivery) pause(t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.stop:
		return false
	}
}
