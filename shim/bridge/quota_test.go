package bridge

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/logtest"
	"mcpgateway/internal/mcp"
)

// What is too much is dropped at once, and its count is logged, though no further line comes; each is counted once.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logtest.Log{}
		logger := slog.New(slog.NewTextHandler(log, nil))
		l := &logLines{log: logger, quota: newQuota(logger)}
		began := time.Now()
		for range 3 * linesAtOnce {
			if _, err := l.Write([]byte("noise\n")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the child waited %s", took)
		}
		if n := strings.Count(log.String(), "line=noise"); n != linesAtOnce {
			t.Errorf("%d lines at once, want %d", n, linesAtOnce)
		}
		time.Sleep(droppedEvery)
		synctest.Wait()
		if n := strings.Count(log.String(), "dropped=400"); n != 1 {
			t.Errorf("it was said %d times that 400 were dropped", n)
		}
		before := len(log.String())
		const seconds = 25
		for range 20 * seconds {
			time.Sleep(time.Second / 20)
			for range 20 {
				_, _ = l.Write([]byte("noise\n"))
			}
		}
		time.Sleep(droppedEvery)
		after := log.String()[before:]
		if n := strings.Count(after, "line=noise"); n > linesAtOnce+linesPerSecond*seconds {
			t.Errorf("%d lines in %d seconds", n, seconds)
		}
		if n := strings.Count(after, "dropped="); n != 3 {
			t.Errorf("it was said %d times in %d seconds that lines were dropped, want 3", n, seconds)
		}
	})
}

// A child that writes what is no message, to whatever pipe, does not fill the log.
func TestNoiseOnBothPipes(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	if got := r.post(call("1", "noise", `{"count":2000}`, ""), s).text(); got != "after" {
		t.Fatalf("got %q", got)
	}
	if lines := strings.Count(r.log.String(), "noise"); lines > linesAtOnce+20*linesPerSecond {
		t.Errorf("%d lines are logged", lines)
	}
	child := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "").own.process
	child.kill()
	<-child.exited
	if !strings.Contains(r.log.String(), `"dropped":`) {
		t.Error("its end leaves unsaid how many lines were dropped")
	}
}
