package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How keys grow old. Removed keys must stop working while the issuer is up, and tokens must go on working while it is
// down; an issuer that is down makes no new tokens, so that few are left after keepFor.
const (
	refreshAfter = 10 * time.Minute // fetched again in the background by the next use
	askAfter     = 30 * time.Minute // not used without having asked the issuer, as after a long idle time
	keepFor      = 12 * time.Hour   // not used any more though the issuer is down
	fetchEvery   = time.Minute      // least time between fetches, whatever tokens come in
	fetchTimeout = 10 * time.Second
)

// Refusals that concern the keys.
var (
	errUnknownKey   = errors.New("the token is signed with a key that its issuer does not publish")
	errBadSignature = errors.New("the signature of the token is wrong")
)

// keySource is the keys of one issuer: fetched when first needed, kept, and fetched again as they grow old or a token
// comes that they do not verify. There is one fetch at a time, which goes on when the caller that began it leaves.
type keySource struct {
	fetch func(context.Context) (keys *keySet, of time.Time, err error) // the zero time: of when it began; keys may come with an error
	now   func() time.Time
	log   *slog.Logger

	mu       sync.Mutex
	keys     *keySet
	fetched  time.Time     // when keys were last known to be the issuer's
	tried    time.Time     // when the last fetch began
	failures int           // fetches failed in a row
	flight   chan struct{} // closed when the fetch under way has ended; nil where there is none
}

// start takes a snapshot as if it had been fetched now.
func (s *keySource) start(snapshot json.RawMessage) error {
	if len(snapshot) == 0 {
		return nil
	}
	keys, err := parseKeySet(snapshot)
	if err != nil {
		return err
	}
	s.keys, s.fetched = keys, s.now()
	return nil
}

// verify returns the payload of the token, and the keys among which was the one that signed it.
func (s *keySource) verify(ctx context.Context, token *jose.JSONWebSignature) ([]byte, *keySet, error) {
	keys, err := s.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	payload, known := keys.verify(token)
	if payload != nil {
		return payload, keys, nil
	}
	// The issuer may have a new key, also under an old name.
	newer, reached, err := s.newer(ctx)
	if err != nil {
		return nil, nil, err
	}
	if newer != keys {
		if payload, known = newer.verify(token); payload != nil {
			return payload, newer, nil
		}
	}
	switch {
	case known:
		return nil, nil, errBadSignature
	case reached:
		return nil, nil, errUnknownKey
	default:
		return nil, nil, ErrUnavailable
	}
}

// current returns the keys to verify with. It waits for a fetch only where there are none that may be used unasked.
func (s *keySource) current(ctx context.Context) (*keySet, error) {
	s.mu.Lock()
	keys, age := s.usable(), s.now().Sub(s.fetched)
	if keys != nil && age < refreshAfter {
		s.mu.Unlock()
		return keys, nil
	}
	// After a failure the next attempts are made in the background: an issuer that hangs must not delay every call.
	wait := keys == nil || (age >= askAfter && s.failures == 0)
	flight := s.begin()
	s.mu.Unlock()
	if wait {
		if err := await(ctx, flight); err != nil {
			return nil, err
		}
		s.mu.Lock()
		keys = s.usable()
		s.mu.Unlock()
	}
	if keys == nil {
		return nil, ErrUnavailable
	}
	return keys, nil
}

// newer fetches the keys if that is allowed now and returns what is known then. reached says whether the last fetch
// succeeded.
func (s *keySource) newer(ctx context.Context) (keys *keySet, reached bool, err error) {
	s.mu.Lock()
	flight := s.begin()
	s.mu.Unlock()
	if err := await(ctx, flight); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usable() == nil {
		return nil, false, ErrUnavailable
	}
	return s.keys, s.failures == 0, nil
}

// holds says whether keys are still the issuer's.
func (s *keySource) holds(keys *keySet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys == keys
}

// usable returns the keys, nil where there are none or they are too old. The caller holds mu.
func (s *keySource) usable() *keySet {
	if s.keys == nil || s.now().Sub(s.fetched) >= keepFor {
		return nil
	}
	return s.keys
}

// begin returns the fetch under way, a new one if enough time has passed since the last, or nil. The caller holds mu.
func (s *keySource) begin() chan struct{} {
	now := s.now()
	if s.flight != nil || (!s.tried.IsZero() && now.Sub(s.tried) < s.pause()) {
		return s.flight
	}
	s.tried = now
	s.flight = make(chan struct{})
	go s.fly(now)
	return s.flight
}

// pause is the time to leave between two fetches: shorter at first where no call can be answered before one succeeds.
func (s *keySource) pause() time.Duration {
	if s.usable() != nil || s.failures == 0 || s.failures > 6 {
		return fetchEvery
	}
	return time.Second << (s.failures - 1)
}

// fly fetches the keys. It has no caller's context: others may wait for the same fetch.
func (s *keySource) fly(began time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	keys, of, err := s.fetch(ctx)
	if of.IsZero() {
		of = began
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.flight)
	s.flight = nil
	if err != nil {
		s.failures++
		s.log.Warn("issuer's keys cannot be fetched", "error", shorten(err), "failures", s.failures)
	} else {
		s.failures = 0
	}
	if keys == nil || s.keys != nil && of.Before(s.fetched) {
		return
	}
	s.fetched = of
	// The same keys stay the same set, so that tokens verified with it stay verified.
	if s.keys == nil || !bytes.Equal(s.keys.raw, keys.raw) {
		s.keys = keys
		s.log.Info("issuer's keys fetched", "usable", len(keys.keys))
	}
}

// await waits for a fetch, which may be nil.
func await(ctx context.Context, flight chan struct{}) error {
	if flight == nil {
		return nil
	}
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}
