package bridge

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
)

// The second child in a row that ends without a word is followed by a pause, and each after it by a longer one, up to a
// bound. One that spoke ends that.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := starts{start: func(use) (*pipe, error) { return idlePipe(), nil }, alive: map[*pipe]struct{}{}}
		run := func(line string) {
			t.Helper()
			p, err := s.next(use{})
			if err != nil {
				t.Fatal(err)
			}
			p.use.stray = func(*pipe, mcp.Labelled) {}
			p.take([]byte(line))
			close(p.ended)
			synctest.Wait()
		}
		pause := func() time.Duration {
			_, err := s.next(use{})
			var e *mcp.Error
			if errors.As(err, &e) && e.Status == 503 {
				return e.RetryAfter
			}
			return 0
		}
		run("Welcome")
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			run("Welcome")
			if got := pause(); got != want*time.Second {
				t.Errorf("a pause of %v, want %v s", got, int(want))
			}
			time.Sleep(want * time.Second)
		}
		run(`{"jsonrpc":"2.0","method":"notifications/message"}`)
		run("Welcome")
		run("Welcome")
		if got := pause(); got != time.Second {
			t.Errorf("after one that spoke a pause of %v, want that of the beginning", got)
		}
		for p := range s.alive {
			close(p.ended)
		}
	})
}

// Who asks faster than it listens does not fill our memory.
func TestRepliesAreBounded(t *testing.T) {
	p := idlePipe()
	p.process.exited = make(chan struct{})
	before := runtime.NumGoroutine()
	for range 1000 {
		p.reply(labelled(t, `{"jsonrpc":"2.0","id":1,"method":"ping"}`), replyPong)
	}
	if n := runtime.NumGoroutine() - before; n > cap(p.replying)+5 {
		t.Errorf("%d replies wait", n)
	}
	close(p.process.exited)
}

// A request that could not be sent is not under way.
func TestRequestThatWasNotSent(t *testing.T) {
	p := newPipe(deadProcess(), use{})
	m := labelled(t, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	if err := p.begin(context.Background(), &m, &exchange{}); !errors.Is(err, errEnded) || p.underWay() != 0 {
		t.Errorf("got %v, %d under way", err, p.underWay())
	}
}
