// Package trail takes records to where they are kept: into the spool, before the caller has its answer, and from there
// in batches to the sink outside, off the path of calls. What the sink cannot get goes to the second sink, lines on
// standard output; what even that cannot take is counted and named in the log.
//
// Where there is no sink, records are lines on standard output and nothing else. The package makes no record.
package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/spool"
)

// Sender makes one attempt to deliver a batch. The error may be a *sink.Failure.
type Sender interface {
	Send(ctx context.Context, key string, records [][]byte) error
}

// Config is what a Trail needs.
type Config struct {
	Sink      Sender         // nil: records are lines on Second alone, and nothing else here is used
	Spool     *spool.Spool   // closed by Close
	Abandoned []*spool.Spool // what others left; delivered too
	Second    io.Writer      // nil: what the sink cannot get is lost
	Logger    *slog.Logger

	Interval time.Duration // at most so long a record waits to be sent
	Records  int           // in a batch at most
	Patience time.Duration // how long Confirm waits
	Backoff  time.Duration // after the first failure; it doubles with each, up to maxBackoff
}

const (
	maxBackoff   = 30 * time.Second
	batchBytes   = 4 << 20
	syncInterval = time.Second // what a machine that crashes may cost; a process that crashes costs nothing
)

// Trail takes records. Its methods may be called concurrently.
type Trail struct {
	lines    *audit.Log // nil where there is no second sink
	delivery *delivery  // nil where there is no sink
	second   *ledger    // what went to the second sink
	lost     *ledger
	syncing  atomic.Bool
	warm     atomic.Bool
}

// New starts to deliver what the spools hold.
func New(c Config) (*Trail, error) {
	t := &Trail{}
	if c.Second != nil {
		t.lines = audit.NewLog(c.Second)
	}
	if c.Sink == nil && c.Second != nil {
		return t, nil
	}
	if c.Sink == nil || c.Spool == nil || c.Logger == nil || c.Interval <= 0 || c.Records <= 0 || c.Patience <= 0 || c.Backoff <= 0 {
		return nil, errors.New("trail: a sink needs spool, logger, interval, records, patience and backoff; without one, Second is needed")
	}
	t.second = newLedger(c.Logger, slog.LevelWarn, "audit records went to the second sink")
	t.lost = newLedger(c.Logger, slog.LevelError, "audit records lost")
	t.delivery = newDelivery(c, t)
	go t.delivery.run()
	return t, nil
}

// Lines is a Trail without a sink.
func Lines(out io.Writer) *Trail { return &Trail{lines: audit.NewLog(out)} }

// Write adds the records of one exchange. When it returns nil they are out of this process's hands.
func (t *Trail) Write(records []audit.Record) error {
	if t.delivery == nil {
		return t.lines.Write(records)
	}
	_, err := t.add(records)
	if errors.Is(err, errSecond) {
		return nil
	}
	return err
}

// errSecond says that the second sink has the records, and the spool has not.
var errSecond = errors.New("the record is in the second sink only")

// Confirm adds records and waits until the sink outside has them.
func (t *Trail) Confirm(records []audit.Record) error {
	if t.delivery == nil {
		return errors.Join(t.lines.Write(records), errNoSink)
	}
	at, err := t.add(records)
	if err != nil {
		return err
	}
	return t.delivery.wait(at)
}

var errNoSink = errors.New("no audit sink is configured")

// Available returns nil where Confirm can be expected to succeed.
func (t *Trail) Available() error {
	if t.delivery == nil {
		return errNoSink
	}
	return t.delivery.trouble()
}

// Start tells of a call that begins whether it is cold: nothing was answered yet since the shim began. Of several that
// waited for the same start, all are.
func (t *Trail) Start() audit.Start {
	if t.warm.Load() {
		return audit.Warm
	}
	return audit.Cold
}

// Answered notes that a call was answered.
func (t *Trail) Answered() {
	if !t.warm.Load() { // looked at first: a write would take the cache line from all others
		t.warm.Store(true)
	}
}

func (t *Trail) add(records []audit.Record) (spool.Position, error) {
	lines := make([][]byte, len(records))
	for i := range records {
		var err error
		if lines[i], err = json.Marshal(&records[i]); err != nil {
			return spool.Position{}, fmt.Errorf("write audit record: %w", err)
		}
	}
	at, err := t.delivery.spool.Append(lines)
	if err != nil {
		return at, t.divert(lines, err)
	}
	t.delivery.added(len(lines))
	if t.syncing.CompareAndSwap(false, true) {
		time.AfterFunc(syncInterval, t.sync)
	}
	return at, nil
}

// sync runs in a goroutine of its own, some time after records were added.
func (t *Trail) sync() {
	t.syncing.Store(false)
	if err := t.delivery.spool.Sync(); err != nil {
		t.delivery.log.Error("audit records may not survive a crash of the machine", "error", err)
	}
}

// divert hands records to the second sink, for a reason. The error is errSecond where that has them.
func (t *Trail) divert(lines [][]byte, reason error) error {
	err := errors.New("there is no second sink")
	if t.lines != nil {
		err = t.lines.WriteLines(lines)
	}
	if err != nil {
		t.lost.note(lines, reason)
		return fmt.Errorf("audit record lost: %w", errors.Join(reason, err))
	}
	t.second.note(lines, reason)
	return errSecond
}

// Close delivers what is left, until ctx ends or the sink seems to be gone, and hands the rest to the second sink. What
// that does not take in time stays in the spool. Nobody may add records any more.
func (t *Trail) Close(ctx context.Context) {
	if t.delivery == nil {
		return
	}
	t.delivery.close(ctx)
	t.second.flush()
	t.lost.flush()
}
