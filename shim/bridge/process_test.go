package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// startDeaf starts a program that never reads.
func startDeaf(t *testing.T, grace time.Duration) *process {
	t.Helper()
	p, err := startProcess([]string{"/bin/sleep", "100"}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p.grace = grace
	t.Cleanup(func() { p.kill(); <-p.exited })
	return p
}

// Half a message in its input is the end of a child: nothing that follows would be understood.
func TestHalfAMessage(t *testing.T) {
	p := startDeaf(t, 100*time.Millisecond)
	eventually(t, "the child ends", func() bool {
		// Where this machine is slow, patience may end before the first byte is taken; not twice in a row for ever.
		if err := p.write(t.Context(), make([]byte, 1<<20)); err == nil {
			t.Error("all was taken")
		}
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
	if err := p.write(t.Context(), nil); !errors.Is(err, errEnded) {
		t.Errorf("after its end: %v", err)
	}
}

// A child whose input is full between messages is only slow.
func TestFullInput(t *testing.T) {
	p := startDeaf(t, 100*time.Millisecond)
	var err error
	for range 1000 { // what is no longer than PIPE_BUF is taken whole or not at all
		if err = p.write(t.Context(), make([]byte, 4095)); err != nil {
			break
		}
	}
	if !errors.Is(err, errDeaf) {
		t.Errorf("got %v, want that it does not read", err)
	}
	time.Sleep(50 * time.Millisecond)
	select {
	case <-p.exited:
		t.Error("the child was ended")
	default:
	}
}

// The time for a message is its own: what is left of an older one's does not count.
func TestTimeForEachMessage(t *testing.T) {
	p := startDeaf(t, time.Minute)
	if err := p.write(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	p.until = time.Now()
	if err := p.stdin.SetWriteDeadline(p.until); err != nil {
		t.Fatal(err)
	}
	if err := p.write(t.Context(), []byte("x")); err != nil {
		t.Errorf("a message after the older one's deadline: %v", err)
	}
	if left := time.Until(p.until); left < p.grace || left > 2*p.grace {
		t.Errorf("a message gets %s, want one minute to two", left)
	}
}

// Who waits for another's message to be taken waits no longer than its own call.
func TestWaitingToWrite(t *testing.T) {
	p := startDeaf(t, time.Minute)
	go func() { _ = p.write(context.Background(), make([]byte, 1<<20)) }()
	eventually(t, "the first writes", func() bool { return len(p.turn) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.write(ctx, []byte("x")) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits though its call is over")
	}
}

// A line on stderr is logged in part where it is too long, and the next one whole.
func TestLogLines(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	l := &logLines{log: logger, quota: newQuota(logger)}
	long := strings.Repeat("x", 3*maxLogLine)
	for _, part := range []string{"on", "e\ntwo\n\n" + long, long, "end of long\nfo\xffur\n", "five"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("wrote %d of %d, %v", n, len(part), err)
		}
	}
	got := log.String()
	for _, want := range []string{"line=one\n", "line=two\n", "line=" + long[:maxLogLine] + "\n", "line=fo?ur\n"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("the log lacks %.20q", want)
		}
	}
	if strings.Count(got, "\n") != 4 || strings.Contains(got, "end of long") || strings.Contains(got, "five") {
		t.Errorf("the log has more: %d lines", strings.Count(got, "\n"))
	}
}
