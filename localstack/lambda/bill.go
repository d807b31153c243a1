package lambda

import (
	"fmt"
	"time"
)

// Bill is what a function did, and what AWS would count of it.
type Bill struct {
	Instances   int           // processes that were started
	Peak        int           // most that were not idle at a time
	Invocations int           // that reached an instance
	Failed      int           // of them, without an answer or with one that broke off
	TimedOut    int           // that were killed at their deadline
	Throttled   int           // that were refused at the limit
	Billed      time.Duration // function-seconds: init and duration of each, rounded up to ms; what runs counts until now
}

// String is one line of it.
func (b Bill) String() string {
	return fmt.Sprintf("%.3f function-seconds, %d invocations (%d failed, %d timed out), %d throttled, %d instances, at most %d at a time",
		b.Billed.Seconds(), b.Invocations, b.Failed, b.TimedOut, b.Throttled, b.Instances, b.Peak)
}

// account is the bill with what runs.
func (f *function) account() Bill {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bill
	for in := range f.instances {
		if inv := in.current; inv != nil {
			b.Billed += inMilliseconds(inv.init + time.Since(inv.began))
		}
	}
	return b
}

// charge bills time that no invocation has.
func (f *function) charge(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bill.Billed += inMilliseconds(d)
}

// inMilliseconds rounds up, as the bill does.
func inMilliseconds(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
