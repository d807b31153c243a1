package token

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
	"mcpgateway/internal/store/bolt"
	"mcpgateway/internal/store/storetest"
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
	for name, bad := range map[string]string{"of another kind": k.forge(t, "JWT", nil), "for ever": k.forge(t, "at+jwt", func(c *jwt.Claims) { c.Expiry = nil }),
		"for two servers": k.forge(t, "at+jwt", func(c *jwt.Claims) { c.Audience = jwt.Audience{"a", "b"} }),
		"huge":            k.forge(t, "at+jwt", func(c *jwt.Claims) { c.Subject = strings.Repeat("s", 16<<10) })} {
		if _, err := k.Verify(t.Context(), us, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Verify(t.Context(), us, k.forge(t, "at+jwt", nil)); err != nil {
		t.Errorf("what is forged is refused for something else: %v", err)
	}
	clock.Pass(Life + time.Second)
	if _, err := k.Verify(t.Context(), us, text); !errors.Is(err, ErrInvalid) {
		t.Errorf("expired: %v", err)
	}
}

// forge signs by the right key what Sign does not make.
func (k *Keys) forge(t *testing.T, kind string, change func(*jwt.Claims)) string {
	t.Helper()
	key, err := k.signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.private, KeyID: key.id}}, (&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
	if err != nil {
		t.Fatal(err)
	}
	c := jwt.Claims{Issuer: us, Subject: "s", Audience: jwt.Audience{"a"}, Expiry: jwt.NewNumericDate(k.now().Add(Life))}
	if change != nil {
		change(&c)
	}
	text, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ids are those of the keys in the order in which they sign.
func (k *Keys) ids(t *testing.T) (ids []string) {
	t.Helper()
	set, err := k.Set(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if !key.IsPublic() {
			t.Error("a private key is published")
		}
		ids = append(ids, key.KeyID)
	}
	return ids
}

// A key is published two days before it signs and a day after, also by a process that made neither.
func TestKeyIsPublishedForLong(t *testing.T) {
	k, other, clock := newKeys(t)
	first := k.ids(t)
	clock.Pass(28*24*time.Hour + time.Second)
	both := k.ids(t)
	if len(both) != 2 || both[0] != first[0] || !slices.Equal(other.ids(t), both) {
		t.Fatalf("%q, then %q", first, both)
	}
	clock.Pass(2*24*time.Hour - time.Minute)
	text := k.sign(t)
	if signer, err := k.signer(t.Context()); err != nil || signer.id != first[0] {
		t.Errorf("the next one signs early: %v", err)
	}
	clock.Pass(2 * time.Minute)
	if signer, err := other.signer(t.Context()); err != nil || signer.id != both[1] {
		t.Errorf("the first one signs still: %v", err)
	}
	for _, keys := range []*Keys{k, other} {
		if _, err := keys.Verify(t.Context(), us, text); err != nil {
			t.Errorf("signed by the first: %v", err)
		}
	}
	clock.Pass(23 * time.Hour)
	if got := k.ids(t); !slices.Equal(got, both) {
		t.Errorf("after 23 hours: %q", got)
	}
	clock.Pass(2 * time.Hour)
	if got := k.ids(t); !slices.Equal(got, both[1:]) {
		t.Errorf("after 25 hours: %q", got)
	}
}

// racing is a store in which somebody else is quicker after a list was read.
type racing struct {
	store.Store
	quicker func()
}

func (r *racing) List(ctx context.Context, part string) ([]store.Item, error) {
	items, err := r.Store.List(ctx, part)
	if do := r.quicker; do != nil {
		r.quicker = nil
		do()
	}
	return items, err
}

// Two processes that make a key at once make one.
func TestKeyIsMadeOnce(t *testing.T) {
	k, other, clock := newKeys(t)
	race := &racing{Store: other.store}
	other.store = race
	for range 3 {
		race.quicker = func() { k.ids(t) }
		if mine, theirs := other.ids(t), k.ids(t); !slices.Equal(mine, theirs) {
			t.Errorf("%q, %q", mine, theirs)
		}
		clock.Pass(28*24*time.Hour + time.Second)
	}
}

// Whoever reads the store has no key.
func TestKeysAreSealed(t *testing.T) {
	k, _, _ := newKeys(t)
	k.ids(t)
	items, err := k.store.List(t.Context(), "keys")
	if err != nil || len(items) != 1 {
		t.Fatal(len(items), err)
	}
	var kept struct{ Sealed string }
	if err := json.Unmarshal(items[0].Value, &kept); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.StdEncoding} {
		if data, err := encoding.DecodeString(kept.Sealed); err == nil {
			if _, err := x509.ParsePKCS8PrivateKey(data); err == nil {
				t.Error("it is in the clear")
			}
		}
	}
}
