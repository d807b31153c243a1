package grant

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/functions/oauth/provider"
	"mcpgateway/internal/store"
)

// Two processes refresh the same token: both give the same one, after the provider was asked once.
func TestRefreshInTwoProcesses(t *testing.T) {
	r := newRig(t)
	token, called := r.token(), 0
	var mu sync.Mutex
	slow := renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) {
		mu.Lock()
		called++
		mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		return s, true, nil
	})
	r.first.Provider, r.other.Provider = slow, slow
	var all sync.WaitGroup
	next := make([]string, 2)
	for n, g := range []*Grants{r.first, r.other} {
		all.Go(func() {
			var err error
			if _, next[n], err = g.Refresh(t.Context(), token, "c", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if next[0] != next[1] || next[0] == token || called != 1 {
		t.Errorf("%q, the provider was asked %d times", next, called)
	}
}

// Both have read the grant before either takes it.
func TestRefreshTakenMeanwhile(t *testing.T) {
	r := newRig(t)
	token, won := r.token(), ""
	r.store.put = func(store.Key) {
		r.store.put = nil
		var err error
		if _, won, err = r.other.Refresh(t.Context(), token, "c", ""); err != nil {
			t.Error(err)
		}
	}
	if next, err := r.refresh(token); err != nil || next != won {
		t.Errorf("%q, %q, %v", next, won, err)
	}
}

// A process that died in a refresh holds the grant for a short while only.
func TestRefreshAfterCrash(t *testing.T) {
	r := newRig(t)
	token := r.token()
	r.first.Provider = renew(func(context.Context, provider.Session) (provider.Session, bool, error) { panic("killed") })
	func() {
		defer func() { _ = recover() }()
		_, _ = r.refresh(token)
	}()
	r.first.Provider = r.other.Provider
	impatient, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer leave()
	if _, _, err := r.first.Refresh(impatient, token, "c", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is held: %v", err)
	}
	r.clock.Pass(20 * time.Second)
	if _, err := r.refresh(token); err != nil {
		t.Errorf("later: %v", err)
	}
}

// The provider may have changed its own token already when the caller leaves.
func TestRefreshOutlivesCaller(t *testing.T) {
	r := newRig(t)
	token := r.token()
	ctx, leave := context.WithCancel(t.Context())
	seen := ""
	r.first.Provider = renew(func(ctx context.Context, s provider.Session) (provider.Session, bool, error) {
		leave()
		seen = s.Refresh
		return provider.Session{Subject: "alice", Refresh: "up-2"}, true, ctx.Err()
	})
	_, next, err := r.first.Refresh(ctx, token, "c", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.refresh(next); err != nil || seen != "up-2" {
		t.Errorf("then %q was shown: %v", seen, err)
	}
}

// Some providers send their refresh token once.
func TestRefreshTokenOfProviderStays(t *testing.T) {
	r := newRig(t)
	token, seen := r.token(), ""
	r.first.Provider = renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) {
		seen, s.Refresh = s.Refresh, ""
		return s, true, nil
	})
	for range 3 {
		var err error
		if token, err = r.refresh(token); err != nil || seen != "up-1" {
			t.Fatalf("%q, %v", seen, err)
		}
	}
}

func TestRefreshAsksAnew(t *testing.T) {
	r := newRig(t)
	token := r.token()
	r.first.Provider = renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) {
		s.Groups = []string{"sales"}
		return s, true, nil
	})
	g, _, err := r.first.Refresh(t.Context(), token, "c", server)
	if diff := cmp.Diff([]string{"sales"}, g.Groups); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestRefreshRefused(t *testing.T) {
	r := newRig(t)
	for name, err := range map[string]error{"refused": provider.ErrRefused, "no groups": provider.ErrGroups, "something else": errors.New("x")} {
		token := r.token()
		r.first.Provider = renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) { return s, false, err })
		if _, err := r.refresh(token); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		r.first.Provider = r.other.Provider
		r.ended(token)
	}
}

// A provider that is down costs nobody their grant, for half a day.
func TestRefreshUnavailable(t *testing.T) {
	r := newRig(t)
	token := r.token()
	down := renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) {
		return s, false, provider.ErrUnavailable
	})
	r.first.Provider = down
	for range 2 { // at once: nothing holds the grant
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		if _, _, err := r.first.Refresh(ctx, token, "c", ""); !errors.Is(err, provider.ErrUnavailable) {
			t.Error(err)
		}
		leave()
	}
	r.first.Provider = r.other.Provider
	r.clock.Pass(11 * time.Hour)
	token, err := r.refresh(token)
	if err != nil {
		t.Fatal(err)
	}
	r.first.Provider = down
	r.clock.Pass(11 * time.Hour) // since it was last asked
	if _, err := r.refresh(token); !errors.Is(err, provider.ErrUnavailable) {
		t.Error(err)
	}
	r.clock.Pass(time.Hour)
	if _, err := r.refresh(token); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	r.first.Provider = r.other.Provider
	r.ended(token)
}

// Nobody can be asked without the provider's refresh token: twelve hours are the end then.
func TestGrantWithoutRefreshToken(t *testing.T) {
	r := newRig(t)
	r.session.Refresh = ""
	r.first.Provider = renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) { return s, false, nil })
	token := r.token()
	r.clock.Pass(11*time.Hour + 59*time.Minute)
	token, err := r.refresh(token)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Pass(2 * time.Minute)
	r.ended(token)
}

func TestGrantEndsWhateverHappens(t *testing.T) {
	r := newRig(t)
	token := r.token()
	for range 29 {
		r.clock.Pass(24 * time.Hour)
		var err error
		if token, err = r.refresh(token); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.Pass(24*time.Hour + time.Second)
	r.ended(token)
}

// Revoked while the provider is asked: what the refresh would give is gone too.
func TestRevokedWhileRefreshed(t *testing.T) {
	r := newRig(t)
	token := r.token()
	r.first.Provider = renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) {
		if n, err := r.other.RevokePerson(t.Context(), Person{issuer, "alice"}); err != nil || n.Grants != 1 {
			t.Errorf("%+v, %v", n, err)
		}
		return s, true, nil
	})
	if next, err := r.refresh(token); !errors.Is(err, ErrInvalid) {
		t.Errorf("%q, %v", next, err)
	}
	r.ended(token)
}

// A refresh that happens while its grant is revoked does not save it.
func TestRevokedThoughChanged(t *testing.T) {
	r := newRig(t)
	token, next := r.token(), ""
	r.store.remove = func(store.Key) {
		r.store.remove = nil
		var err error
		if _, next, err = r.other.Refresh(t.Context(), token, "c", ""); err != nil {
			t.Error(err)
		}
	}
	if err := r.first.Revoke(t.Context(), token, "c"); err != nil {
		t.Error(err)
	}
	r.ended(next)
}
