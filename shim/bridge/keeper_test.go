package bridge

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
)

// deafPipe is a child that takes nothing and says nothing.
func deafPipe() *pipe {
	p := idlePipe()
	p.process.turn = make(chan struct{}, 1)
	p.process.turn <- struct{}{}
	return p
}

// A server that says nothing is found to be a legacy one once: all who wait learn it, and who comes later at once.
func TestSilentServerIsProbedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bridge{Config: Config{Logger: slog.New(slog.DiscardHandler)}}
		var started []*pipe
		b.starts = starts{alive: map[*pipe]struct{}{}, start: func(use) (*pipe, error) {
			started = append(started, deafPipe())
			return started[len(started)-1], nil
		}}
		b.modern = keeper{start: b.startModern}
		began := time.Now()
		answers := make(chan error)
		for range 10 {
			go func() {
				_, err := b.modern.get(t.Context())
				answers <- err
			}()
		}
		for range 10 {
			if err := <-answers; !errors.Is(err, errOld) || time.Since(began) != handshake {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		}
		if _, err := b.modern.get(t.Context()); !errors.Is(err, errOld) || time.Since(began) != handshake || len(started) != 1 {
			t.Errorf("later, after %s: %v, %d children", time.Since(began), err, len(started))
		}
		if b.takeSpare() != started[0] {
			t.Error("its child is not there for the session that comes next")
		}
		close(started[0].ended)
	})
}

// Who leaves waits no longer, and the child comes for the others; one that failed is started again by who comes later.
func TestKeeperOfManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts, failure := 0, errors.New("no")
		k := keeper{start: func() (*pipe, error) {
			starts++
			time.Sleep(time.Second)
			if starts == 1 {
				return nil, failure
			}
			return idlePipe(), nil
		}}
		ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		var e *mcp.Error
		if _, err := k.get(ctx); !errors.As(err, &e) || e.Status != mcp.StatusClientLeft {
			t.Errorf("who left: %v", err)
		}
		if _, err := k.get(t.Context()); !errors.Is(err, failure) || starts != 1 {
			t.Errorf("who came meanwhile: %v, %d starts", err, starts)
		}
		first, err := k.get(t.Context())
		if err != nil || starts != 2 {
			t.Fatalf("who came later: %v, %d starts", err, starts)
		}
		close(first.ended)
		go func() { _, _ = k.get(t.Context()) }()
		synctest.Wait()
		if p := k.current(); p != nil {
			t.Error("a child that has not started yet")
		}
		if p := k.settled(); p == nil || p == first || starts != 3 {
			t.Errorf("when it has started: %v, %d starts", p, starts)
		}
	})
}
