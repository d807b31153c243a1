package trail

import (
	"context"
	"time"

	"mcpgateway/internal/audit/spool"
)

// secondPatience is how long the second sink may take at the end.
const secondPatience = 3 * time.Second

// close delivers what is left until ctx ends. What is left then goes to the second sink: maybe no process comes after
// this one to deliver it. It stays in the spool as well, for the one that may come.
func (d *delivery) close(ctx context.Context) {
	close(d.stop)
	unhook := context.AfterFunc(ctx, d.cancel)
	defer unhook()
	<-d.ended
	all := append([]*spool.Spool{d.spool}, d.Abandoned...)
	for _, s := range all {
		d.drain(ctx, s)
	}
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		for _, s := range all {
			d.handOver(s)
		}
	}()
	select {
	case <-handed:
		for _, s := range all {
			if err := s.Close(); err != nil {
				d.log.Error("audit spool", "error", err)
			}
		}
	case <-time.After(secondPatience): // nobody reads our lines
		d.log.Error("audit records are left in the spool", "bytes", d.spool.Bytes())
	}
}

// maxDrainFailures is how often in a row the sink may fail at the end: one that is gone is not waited for.
const maxDrainFailures = 4

// drain delivers a spool until ctx ends, or the sink seems to be gone.
func (d *delivery) drain(ctx context.Context, s *spool.Spool) {
	for failures := 0; ctx.Err() == nil && failures < maxDrainFailures; {
		b, err := s.Next(spool.Limits{Records: d.Records, Bytes: batchBytes})
		if err != nil && len(b.Records) == 0 || !b.End.After(b.From) {
			return
		}
		ok, retry := d.attempt(ctx, s, &b)
		if ok {
			failures = 0
			continue
		}
		select {
		case <-time.After(max(retry, d.backoff(failures))):
		case <-ctx.Done():
		}
		failures++
	}
}

// handOver writes what is not delivered to the second sink.
func (d *delivery) handOver(s *spool.Spool) {
	if d.trail.lines == nil {
		if left := s.Bytes(); left > 0 {
			d.log.Error("audit records are left in the spool", "bytes", left)
		}
		return
	}
	for {
		b, err := s.Rest(spool.Limits{Records: d.Records, Bytes: batchBytes})
		if err != nil {
			d.log.Error("audit spool", "error", err)
			return
		}
		if !b.End.After(b.From) {
			return
		}
		if len(b.Records) > 0 {
			if err := d.trail.lines.WriteLines(b.Records); err != nil {
				d.log.Error("audit records are left in the spool", "error", err, "bytes", s.Bytes())
				return
			}
			d.trail.second.note(b.Records, d.trouble())
		}
		if err := s.HandedOver(b); err != nil {
			d.log.Error("audit spool", "error", err)
			return
		}
	}
}
