package token

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/functions/oauth/store/bolt"
	"mcpgateway/functions/oauth/store/storetest"
)

func newKeys(t *testing.T) (first, second *Keys, clock *storetest.Clock) {
	t.Helper()
	clock = storetest.NewClock()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "db"), clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	sealer, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return NewKeys(s, sealer, clock.Now), NewKeys(s, sealer, clock.Now), clock
}

const us = "https://oauth.example"

func (k *Keys) sign(t *testing.T) string {
	t.Helper()
	text, err := k.Sign(t.Context(), Access{Issuer: us, Subject: "s", Audience: "a", Client: "c", Scope: "mcp"}, Life)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Over a year no key signs that was not published a day before, and nothing is unpublished that is still valid.
func TestRotation(t *testing.T) {
	k, other, clock := newKeys(t)
	known := map[string]time.Time{} // when each key was first published
	used := map[string]bool{}
	for hour := range 365 * 24 / 6 {
		set, err := k.Set(t.Context())
		if err != nil || len(set.Keys) == 0 || len(set.Keys) > 3 {
			t.Fatalf("%d keys, %v", len(set.Keys), err)
		}
		now := clock.Now()
		for _, key := range set.Keys {
			if _, seen := known[key.KeyID]; !seen {
				known[key.KeyID] = now
			}
		}
		signer, err := other.signer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		since, seen := known[signer.id]
		if !seen || hour > 0 && !used[signer.id] && now.Sub(since) < 24*time.Hour {
			t.Fatalf("a key signs that is published for %v", now.Sub(since))
		}
		used[signer.id] = true
		text := other.sign(t)
		clock.Pass(Life - time.Second)
		if _, err := k.Verify(t.Context(), us, text); err != nil {
			t.Fatalf("hour %d: %v", hour*6, err)
		}
		clock.Pass(6*time.Hour - Life + time.Second)
	}
	if len(used) < 11 {
		t.Errorf("%d keys in a year", len(used))
	}
}

func TestVerify(t *testing.T) {
	k, other, clock := newKeys(t)
	text := k.sign(t)
	if a, err := other.Verify(t.Context(), us, text); err != nil || a.Subject != "s" || a.Audience != "a" || a.Client != "c" || a.ID == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	stranger, _, _ := newKeys(t)
	for name, bad := range map[string]string{"stranger's": stranger.sign(t), "changed": text[:len(text)-5] + "AAAAA", "none": "", "garbage": "a.b.c"} {
		if _, err := k.Verify(t.Context(), us, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Verify(t.Context(), us+"/", text); !errors.Is(err, ErrInvalid) {
		t.Errorf("another issuer: %v", err)
	}
	clock.Pass(Life + time.Second)
	if _, err := k.Verify(t.Context(), us, text); !errors.Is(err, ErrInvalid) {
		t.Errorf("expired: %v", err)
	}
}
