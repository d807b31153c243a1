package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const keysURI = "https://robot.example/keys"

// keysAt is a client whose keys lie at an address, and what answers there.
func keysAt(now *time.Time, answer func(w http.ResponseWriter, r *http.Request)) (*KeySets, *Client) {
	return NewKeySets(func() time.Time { return *now }, served(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		answer(w, r)
	})), &Client{Auth: AuthKeyJWT, KeysURI: keysURI}
}

// Keys are kept for as long as they say, and looked for again where a signature is by none of them, once a minute.
func TestKeysElsewhere(t *testing.T) {
	now, fetched, set := time.Now(), 0, keySet(t, 1, false)
	k, c := keysAt(&now, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != keysURI || r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		fetched++
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = io.WriteString(w, set)
	})
	step := func(find func() (*jose.JSONWebKeySet, error), want, keys int) {
		t.Helper()
		got, err := find()
		if err != nil || len(got.Keys) != keys || fetched != want {
			t.Errorf("%+v, %v after %d fetches, want %d", got, err, fetched, want)
		}
	}
	find := func() (*jose.JSONWebKeySet, error) { return k.Find(t.Context(), c) }
	newer := func() (*jose.JSONWebKeySet, error) { return k.Newer(t.Context(), c) }
	step(find, 1, 1)
	step(find, 1, 1)
	set = keySet(t, 2, false)
	step(newer, 1, 1) // it was looked at just now
	now = now.Add(time.Minute)
	step(newer, 2, 2)
	step(newer, 2, 2)
	now = now.Add(time.Minute - time.Second)
	step(newer, 2, 2)
	step(find, 2, 2)
	now = now.Add(10 * time.Minute)
	step(find, 3, 2)
}

// A server that is down keeps nobody out for a day, and is not asked at every call.
func TestKeysElsewhereDown(t *testing.T) {
	now, fetched, down := time.Now(), 0, false
	k, c := keysAt(&now, func(w http.ResponseWriter, _ *http.Request) {
		if fetched++; down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, keySet(t, 1, false))
	})
	if got, err := k.Find(t.Context(), c); err != nil || len(got.Keys) != 1 {
		t.Fatal(got, err)
	}
	down = true
	now = now.Add(23 * time.Hour)
	for range 3 {
		if got, err := k.Find(t.Context(), c); err != nil || len(got.Keys) != 1 {
			t.Error(got, err)
		}
	}
	if fetched != 2 {
		t.Errorf("fetched %d times", fetched)
	}
	now = now.Add(2 * time.Hour)
	if got, err := k.Find(t.Context(), c); !errors.Is(err, ErrKeys) {
		t.Error(got, err)
	}
}

func TestKeysElsewhereRefused(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"private": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, keySet(t, 1, true)) },
		"none":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"many":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, keySet(t, maxKeys+1, false)) },
		"no set":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[]`) },
		"missing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, keySet(t, 1, false))
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, keySet(t, 1, false)+strings.Repeat(" ", maxDocument))
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() == keysURI {
				http.Redirect(w, r, "https://robot.example/other", http.StatusFound)
				return
			}
			_, _ = io.WriteString(w, keySet(t, 1, false))
		},
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		now := time.Now()
		k, c := keysAt(&now, answer)
		if name == "slow" {
			k.client.Timeout = 50 * time.Millisecond
		}
		if got, err := k.Find(t.Context(), c); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	inward := NewKeySets(time.Now, nil)
	for _, uri := range []string{"https://127.0.0.1/keys", "https://169.254.169.254/keys", "https://10.0.0.1/keys"} {
		if got, err := inward.Find(t.Context(), &Client{KeysURI: uri}); err == nil || err.Error() != "the client's jwks_uri cannot be fetched" {
			t.Errorf("%s: %v, %v", uri, got, err)
		}
	}
}

// endless is a body that never ends, and counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 64*maxDocument {
		return 0, errors.New("too much is read")
	}
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

func (e *endless) Close() error { return nil }

func TestNoMoreIsReadThanIsTaken(t *testing.T) {
	body := &endless{}
	k := NewKeySets(time.Now, roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, nil
	}))
	k.client.Timeout = time.Second
	if got, err := k.Find(t.Context(), &Client{KeysURI: keysURI}); !errors.Is(err, ErrKeys) || body.read > 4*maxDocument {
		t.Errorf("%v, %v after %d bytes", got, err, body.read)
	}
}

func TestKeysElsewhereBounded(t *testing.T) {
	now := time.Now()
	k, _ := keysAt(&now, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	for n := range maxCached + 50 {
		_, _ = k.Find(t.Context(), &Client{KeysURI: fmt.Sprintf("https://robot.example/%d", n)})
	}
	if len(k.cached) > maxCached {
		t.Errorf("%d are kept", len(k.cached))
	}
}
