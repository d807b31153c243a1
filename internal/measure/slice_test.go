package measure

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A server that stalls once must show in every call that was due meanwhile, not only in the one that met the stall.
func TestOpenLoopCountsFromWhenCallsWereDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	var oneAtATime sync.Mutex
	var first sync.Once
	s, err := OpenLoop(t.Context(), func(context.Context) error {
		oneAtATime.Lock()
		defer oneAtATime.Unlock()
		first.Do(func() { time.Sleep(stall) })
		return nil
	}, 100, 400*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if s.Calls != 40 || len(s.Latencies) != 40 {
		t.Fatalf("%d calls, %d Latencies, want 40", s.Calls, len(s.Latencies))
	}
	// 20 calls are due during the stall; half of them must have waited at least half of it.
	held := 0
	for i, l := range s.Latencies {
		if l < s.Late[i] {
			t.Errorf("call %d: latency %v leaves out that it was sent %v late", i, l, s.Late[i])
		}
		if l >= stall/2 {
			held++
		}
	}
	if held < 10 {
		t.Errorf("%d calls were held up for %v or more, want at least 10", held, stall/2)
	}
	if s.Elapsed < 390*time.Millisecond {
		t.Errorf("40 calls at 100 a second took %v", s.Elapsed)
	}
}

func TestClosedLoopKeepsConnectionsBusy(t *testing.T) {
	var now, most atomic.Int64
	s, err := ClosedLoop(t.Context(), func(context.Context) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(10 * time.Millisecond)
		return nil
	}, 4, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if most.Load() != 4 {
		t.Errorf("at most %d calls at once, want 4", most.Load())
	}
	if s.Calls < 8 || s.Calls > 44 {
		t.Errorf("%d calls of 10 ms in 100 ms on 4 connections", s.Calls)
	}
}

func TestLoopsReportFailedCalls(t *testing.T) {
	var n atomic.Int64
	broken := errors.New("broken")
	call := func(context.Context) error {
		if n.Add(1) == 3 {
			return broken
		}
		return nil
	}
	if _, err := OpenLoop(t.Context(), call, 1000, 10*time.Millisecond); !errors.Is(err, broken) || !strings.Contains(err.Error(), "1 of 10") {
		t.Errorf("open loop: %v", err)
	}
	n.Store(0)
	if _, err := ClosedLoop(t.Context(), call, 2, time.Second); !errors.Is(err, broken) {
		t.Errorf("closed loop: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenLoop(ended, call, 1, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPacerIsExact(t *testing.T) {
	wait, release := newPacer()
	defer release()
	for range 20 {
		due := time.Now().Add(3 * time.Millisecond)
		wait(due)
		if late := time.Since(due); late < 0 {
			t.Fatalf("woke %v early", -late)
		}
	}
}
