package flight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/deploy"
)

func plan(hash string) deploy.Plan { return deploy.Plan{Server: "a", Hash: hash} }

// All who come while a start is under way get what it comes to; who comes later has another.
func TestOneStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts atomic.Int32
		b := New(func(p deploy.Plan) (deploy.Instance, error) {
			time.Sleep(time.Second)
			return deploy.Instance{ID: string('0' + rune(starts.Add(1)))}, nil
		})
		for _, want := range []string{"1", "2"} {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if got, err := b.Ensure(t.Context(), plan("x")); err != nil || got.ID != want {
						t.Errorf("%+v, %v, want %s", got, err, want)
					}
				})
			}
			wg.Wait()
		}
	})
}

// A start goes on when its callers leave, who get what their context ended by.
func TestCallersMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		landed := false
		b := New(func(deploy.Plan) (deploy.Instance, error) {
			time.Sleep(time.Second)
			landed = true
			return deploy.Instance{}, nil
		})
		late := errors.New("late")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
		defer cancel()
		if _, err := b.Ensure(ctx, plan("x")); err != late {
			t.Errorf("got %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := b.Ensure(gone, plan("x")); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !landed {
			t.Error("it ended with its callers")
		}
	})
}

// A start of another revision that fails, as when it is retired while it starts, is not ours.
func TestOtherRevisionsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(func(p deploy.Plan) (deploy.Instance, error) {
			time.Sleep(time.Second)
			if p.Hash == "old" {
				return deploy.Instance{}, errors.New("retired")
			}
			return deploy.Instance{ID: p.Hash}, nil
		})
		go func() { _, _ = b.Ensure(t.Context(), plan("old")) }()
		synctest.Wait()
		if got, err := b.Ensure(t.Context(), plan("new")); err != nil || got.ID != "new" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
