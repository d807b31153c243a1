package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// bubble runs a test with its own clock, an issuer that publishes key, and a verifier that trusts it.
func bubble(t *testing.T, snapshot ...testKey) (run func(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey))) {
	return func(f func(*testing.T, *fakeIssuers, *Verifier, testKey)) {
		key := newES256(t, "k1")
		synctest.Test(t, func(t *testing.T) {
			net := newFakeIssuers(map[string][]jose.JSONWebKey{})
			net.publish(home, key)
			issuer := bound(home)
			if snapshot != nil {
				issuer.Keys = snapshotOf(t, snapshot...)
			}
			f(t, net, newTestVerifier(t, net, issuer), key)
		})
	}
}

func snapshotOf(t *testing.T, keys ...testKey) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.public())
	}
	return encode(t, set)
}

func wantVerify(t *testing.T, v *Verifier, token string, want error) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token, []string{resource}); !errors.Is(err, want) {
		t.Errorf("after %v: got %v, want %v", time.Since(bubbleStart), err, want)
	}
}

// bubbleStart is when every synctest bubble begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func wantFetches(t *testing.T, net *fakeIssuers, want int) {
	t.Helper()
	synctest.Wait() // for a fetch in the background
	if got := net.fetched(home); got != want {
		t.Errorf("after %v: keys fetched %d times, want %d", time.Since(bubbleStart), got, want)
	}
}

func TestRotation(t *testing.T) {
	next := newES256(t, "k2")
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		wantFetches(t, net, 1)

		time.Sleep(5 * time.Minute)
		net.publish(home, key, next)
		wantVerify(t, v, next.token(t, nil), nil) // an unknown key is asked for at once
		wantFetches(t, net, 2)

		old := key.token(t, nil)
		wantVerify(t, v, old, nil)
		net.publish(home, next)
		time.Sleep(refreshAfter)
		wantVerify(t, v, key.token(t, nil), nil) // begins the fetch that finds the key gone
		wantFetches(t, net, 3)
		wantVerify(t, v, old, errUnknownKey)
		wantVerify(t, v, next.token(t, nil), nil)
	})
}

func TestRotationUnderTheSameName(t *testing.T) {
	next := newES256(t, "k1")
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		net.publish(home, next)
		time.Sleep(2 * time.Minute)
		wantVerify(t, v, next.token(t, nil), nil)
		wantVerify(t, v, key.token(t, nil), errBadSignature)
	})
}

func TestKeyChangeEmptiesCache(t *testing.T) {
	next := newES256(t, "k2")
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		time.Sleep(time.Minute)
		token := key.token(t, nil)
		wantVerify(t, v, token, nil)
		time.Sleep(fetchEvery - time.Second) // the cached token is still good
		token = key.token(t, nil)
		wantVerify(t, v, token, nil)
		net.publish(home, next)
		time.Sleep(time.Second)
		wantVerify(t, v, next.token(t, nil), nil)
		wantVerify(t, v, token, errUnknownKey)
	})
}

func TestCachedUntilExpiry(t *testing.T) {
	bubble(t)(func(t *testing.T, _ *fakeIssuers, v *Verifier, key testKey) {
		token := key.token(t, object{"exp": time.Now().Add(10 * time.Second).Unix()})
		wantVerify(t, v, token, nil)
		time.Sleep(10*time.Second + leeway - time.Nanosecond)
		wantVerify(t, v, token, nil)
		time.Sleep(time.Nanosecond)
		wantVerify(t, v, token, errExpired)
	})
}

func TestRemovedKeyAfterLongIdle(t *testing.T) {
	next := newES256(t, "k2")
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		net.publish(home, next)
		time.Sleep(askAfter)
		wantVerify(t, v, key.token(t, nil), errUnknownKey)
		wantFetches(t, net, 2)
	})
}

func TestUnknownKeyFlood(t *testing.T) {
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		time.Sleep(fetchEvery)
		flood := func() {
			var all sync.WaitGroup
			for n := range 200 {
				stranger := testKey{fmt.Sprint("evil", n), key.alg, key.key}
				all.Go(func() { wantVerify(t, v, stranger.token(t, nil), errUnknownKey) })
			}
			all.Wait()
		}
		flood()
		wantFetches(t, net, 2)
		time.Sleep(fetchEvery - time.Second)
		flood()
		wantFetches(t, net, 2)
		time.Sleep(time.Second)
		flood()
		wantFetches(t, net, 3)
		wantVerify(t, v, key.token(t, nil), nil)
	})
}

func TestBadSignatureFlood(t *testing.T) {
	stranger := newES256(t, "k1")
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		for range 50 {
			wantVerify(t, v, stranger.token(t, nil), errBadSignature)
		}
		wantFetches(t, net, 1)
	})
}

func TestIssuerDownAtStart(t *testing.T) {
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		net.setDown(true)
		token := key.token(t, nil)
		for range 100 {
			wantVerify(t, v, token, ErrUnavailable)
		}
		if got := len(net.requests()); got != 1 {
			t.Errorf("%d requests without a pause", got)
		}
		for range 100 {
			time.Sleep(time.Second)
			wantVerify(t, v, token, ErrUnavailable)
		}
		if got := len(net.requests()); got < 5 || got > 9 { // after 1, 2, 4 … 32 s
			t.Errorf("%d requests in 100 s", got)
		}
		net.setDown(false)
		time.Sleep(fetchEvery)
		wantVerify(t, v, token, nil)
	})
}

func TestIssuerDownLater(t *testing.T) {
	next := newES256(t, "k2")
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		net.setDown(true)
		for time.Since(bubbleStart) < keepFor-time.Hour {
			time.Sleep(time.Hour)
			wantVerify(t, v, key.token(t, nil), nil)
			wantVerify(t, v, next.token(t, nil), ErrUnavailable) // it may be a new key
			wantVerify(t, v, testKey{"k1", "ES256", next.key}.token(t, nil), errBadSignature)
		}
		time.Sleep(time.Hour)
		wantVerify(t, v, key.token(t, nil), ErrUnavailable)
		net.setDown(false)
		time.Sleep(fetchEvery)
		wantVerify(t, v, key.token(t, nil), nil)
	})
}

func TestIssuerThatHangsDelaysOneCallOnly(t *testing.T) {
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		net.hang = make(chan struct{})
		time.Sleep(askAfter)
		for _, want := range []time.Duration{fetchTimeout, 0, 0} {
			began := time.Now()
			wantVerify(t, v, key.token(t, nil), nil)
			if took := time.Since(began); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
			time.Sleep(2 * fetchEvery)
		}
	})
}

func TestOneFetchForAllOutlivesItsCaller(t *testing.T) {
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		net.hang = make(chan struct{})
		first, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, err := v.Verify(first, key.token(t, nil), []string{resource})
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left got %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			all.Go(func() { wantVerify(t, v, key.token(t, nil), nil) })
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(net.hang)
		all.Wait()
		wantFetches(t, net, 1)
	})
}

func TestSnapshotStartsWithoutACall(t *testing.T) {
	old, next := newES256(t, "k0"), newES256(t, "k2")
	bubble(t, old)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, old.token(t, nil), nil)
		wantFetches(t, net, 0)
		net.publish(home, old, key)
		wantVerify(t, v, key.token(t, nil), nil)
		wantFetches(t, net, 1)
		net.publish(home, next)
		time.Sleep(refreshAfter)
		wantVerify(t, v, key.token(t, nil), nil)
		wantFetches(t, net, 2)
		wantVerify(t, v, old.token(t, nil), errUnknownKey)
	})
}

func TestSnapshotRoundTrip(t *testing.T) {
	other := newRS256(t, "k0", 2048)
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		net.publish(home, key, other)
		first := v.Snapshot(t.Context())
		net.publish(home, other, key)
		time.Sleep(askAfter)
		second := v.Snapshot(t.Context())
		wantFetches(t, net, 2)
		if diff := cmp.Diff(string(first[0].Keys), string(second[0].Keys)); diff != "" {
			t.Errorf("the order of keys matters: %s", diff)
		}
		net.setDown(true)
		fresh := newTestVerifier(t, net, second...)
		wantVerify(t, fresh, key.token(t, nil), nil)
		wantVerify(t, fresh, other.token(t, nil), nil)
		if got := newTestVerifier(t, net, bound(home)).Snapshot(t.Context())[0].Keys; got != nil {
			t.Errorf("keys of an issuer that is down: %s", got)
		}
	})
}

func TestWithdrawnKeys(t *testing.T) {
	bubble(t)(func(t *testing.T, net *fakeIssuers, v *Verifier, key testKey) {
		wantVerify(t, v, key.token(t, nil), nil)
		net.publish(home)
		time.Sleep(askAfter)
		wantVerify(t, v, key.token(t, nil), errUnknownKey)
	})
}
