package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity"
)

// finder is a deployer that is only asked where instances are.
type finder func(deploy.Key) (deploy.Instance, bool, error)

func (f finder) Find(_ context.Context, key deploy.Key) (deploy.Instance, bool, error) { return f(key) }

func (f finder) Ensure(context.Context, deploy.Key) (deploy.Instance, error) {
	panic("a listener woke a server")
}

// A thousand listeners of a sleeping server look for it as one, and all learn that it woke.
func TestListenersOfASleepingServerLookAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, looks := time.Now(), map[string]*atomic.Int32{"alice": {}, "bob": {}}
		s := newServers(finder(func(key deploy.Key) (deploy.Instance, bool, error) {
			looks[key.Owner.Subject].Add(1)
			awake := key.Owner.Subject == "alice" && time.Since(began) > 9*time.Second
			return deploy.Instance{ID: "i", URL: "unix:///i"}, awake, nil
		}), slog.New(slog.DiscardHandler))
		entry := &catalog.Server{ID: "mine", Instances: catalog.Instances{PerUser: true}}
		ctx, leave := context.WithCancel(t.Context())
		var alices, bobs sync.WaitGroup
		for i := range 2000 {
			c := &call{server: "mine", entry: entry, who: identity.Identity{Subject: "alice"}}
			if i%2 == 0 {
				alices.Go(func() {
					if err := s.awaitWake(t.Context(), c, 2*time.Second); err != nil || time.Since(began) != 10*time.Second {
						t.Errorf("after %v: %v", time.Since(began), err)
					}
				})
				continue
			}
			c.who.Subject = "bob"
			bobs.Go(func() {
				if err := s.awaitWake(ctx, c, 2*time.Second); err == nil {
					t.Error("bob has an instance")
				}
			})
		}
		synctest.Wait()
		s.mu.Lock()
		for key, v := range s.vigils {
			if v.waiting != 1000 {
				t.Errorf("%d wait in %v's vigil: the others look for themselves", v.waiting, key)
			}
		}
		s.mu.Unlock()
		alices.Wait()
		synctest.Wait()
		if a, b := looks["alice"].Load(), looks["bob"].Load(); a != 5 || b != 5 {
			t.Errorf("looked %d times for alice and %d for bob in ten seconds, want 5 times for each", a, b)
		}
		leave()
		bobs.Wait()
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := looks["bob"].Load(); n != 5 || len(s.vigils) != 0 {
			t.Errorf("looked %d times, %d vigils: nobody waits any more", n, len(s.vigils))
		}
	})
}

// firstWrite notes how long the first write took to come.
type firstWrite struct {
	*httptest.ResponseRecorder
	began time.Time
	took  time.Duration
}

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.took == 0 {
		w.took = time.Since(w.began)
	}
	return len(p), nil
}

// Streams that began together get their comments apart, and none is silent for longer than it may.
func TestCommentsComeApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make([]*firstWrite, 100)
		for i := range answers {
			answers[i] = &firstWrite{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
			w := newEventWriter(&call{w: answers[i], r: httptest.NewRequest("GET", "/", nil)}, 25*time.Second)
			defer w.stop()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		seconds := map[int]int{}
		for _, a := range answers {
			if a.took < 20*time.Second || a.took > 25*time.Second {
				t.Errorf("the first comment came after %v", a.took)
			}
			seconds[int(a.took.Seconds())]++
		}
		if len(seconds) < 4 {
			t.Errorf("comments in each second: %v", seconds)
		}
	})
}
