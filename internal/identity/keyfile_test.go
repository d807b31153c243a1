package identity

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// kept is a file with an issuer's keys, and a verifier that has them from there.
type kept struct {
	t    *testing.T
	net  *fakeIssuers
	path string
	*Verifier
}

func keep(t *testing.T, f func(*kept)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	synctest.Test(t, func(t *testing.T) {
		k := &kept{t: t, net: newFakeIssuers(map[string][]jose.JSONWebKey{}), path: path}
		issuer := bound(home)
		issuer.KeysFile = path
		k.Verifier = newTestVerifier(t, k.net, issuer)
		f(k)
	})
}

// write keeps keys of an issuer, as of a time.
func (k *kept) write(issuer string, fetched time.Time, keys ...testKey) {
	k.t.Helper()
	k.writeText(encode(k.t, KeyFile{Issuer: issuer, Fetched: fetched, Keys: snapshotOf(k.t, keys...)}))
}

func (k *kept) writeText(text []byte) {
	k.t.Helper()
	if err := os.WriteFile(k.path, text, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kept) wantAsked(want int) {
	k.t.Helper()
	synctest.Wait()
	if got := len(k.net.asked); got != want {
		k.t.Errorf("after %v the issuer was asked %d times, want %d", time.Since(bubbleStart), got, want)
	}
}

// Keys of a file are as old as the file says. An issuer that cannot be reached is not asked while it is kept new.
func TestKeysFromFile(t *testing.T) {
	first, second := newES256(t, "k1"), newES256(t, "k2")
	keep(t, func(k *kept) {
		k.net.down = true
		k.write(home, time.Now(), first)
		wantVerify(k.t, k.Verifier, first.token(k.t, nil), nil)
		time.Sleep(refreshAfter)
		k.write(home, time.Now(), second)
		wantVerify(k.t, k.Verifier, second.token(k.t, nil), nil)
		wantVerify(k.t, k.Verifier, first.token(k.t, nil), errUnknownKey)
		k.wantAsked(0)

		time.Sleep(askAfter) // what writes it has stopped
		wantVerify(k.t, k.Verifier, second.token(k.t, nil), nil)
		k.wantAsked(1)
		time.Sleep(keepFor - askAfter)
		wantVerify(k.t, k.Verifier, second.token(k.t, nil), ErrUnavailable)
	})
}

// Where the file is old and the issuer can be reached, a key that it has removed works no more.
func TestOldKeyFile(t *testing.T) {
	removed, now := newES256(t, "k1"), newES256(t, "k2")
	keep(t, func(k *kept) {
		k.net.publish(home, now)
		time.Sleep(time.Hour)
		k.write(home, time.Now().Add(-askAfter), removed)
		wantVerify(k.t, k.Verifier, removed.token(k.t, nil), errUnknownKey)
		wantVerify(k.t, k.Verifier, now.token(k.t, nil), nil)
		k.net.down = true
		time.Sleep(refreshAfter)
		wantVerify(k.t, k.Verifier, now.token(k.t, nil), nil) // an older file replaces nothing
		synctest.Wait()
		wantVerify(k.t, k.Verifier, removed.token(k.t, nil), ErrUnavailable)
	})
}

// A file that is no issuer's, or of no time when it may be used, is none: the issuer is asked.
func TestBadKeyFile(t *testing.T) {
	key, forged := newES256(t, "k1"), newES256(t, "k2")
	for name, write := range map[string]func(*kept){
		"missing":          func(*kept) {},
		"no JSON":          func(k *kept) { k.writeText([]byte("{")) },
		"another issuer's": func(k *kept) { k.write(partner, time.Now(), forged) },
		"yet to come":      func(k *kept) { k.write(home, time.Now().Add(2*maxAhead), forged) },
		"too old":          func(k *kept) { k.write(home, time.Now().Add(-keepFor), forged) },
		"of no time":       func(k *kept) { k.write(home, time.Time{}, forged) },
		"no keys": func(k *kept) {
			k.writeText(encode(k.t, KeyFile{Issuer: home, Fetched: time.Now(), Keys: json.RawMessage("[]")}))
		},
		"too many keys": func(k *kept) {
			many := make([]testKey, maxKeys+1)
			for n := range many {
				many[n] = forged
			}
			k.write(home, time.Now(), many...)
		},
		"too large": func(k *kept) {
			text := encode(k.t, KeyFile{Issuer: home, Fetched: time.Now(), Keys: snapshotOf(k.t, forged)})
			k.writeText([]byte(string(text[:len(text)-1]) + strings.Repeat(" ", 2*maxDocument) + "}"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			keep(t, func(k *kept) {
				k.net.publish(home, key)
				write(k)
				wantVerify(k.t, k.Verifier, forged.token(k.t, nil), errUnknownKey)
				wantVerify(k.t, k.Verifier, key.token(k.t, nil), nil)
				k.wantAsked(2)
			})
		})
	}
}

// What FetchKeys brings is what a Verifier reads, and it asks nobody who is no issuer.
func TestFetchKeys(t *testing.T) {
	key := newES256(t, "k1")
	keep(t, func(k *kept) {
		k.net.publish(home, key)
		file, err := FetchKeys(k.t.Context(), home, &http.Client{Transport: k.net})
		if err != nil {
			t.Fatal(err)
		}
		k.writeText(encode(k.t, file))
		k.net.down = true
		wantVerify(k.t, k.Verifier, key.token(k.t, nil), nil)
		k.wantAsked(2)
		if _, err := FetchKeys(k.t.Context(), home, &http.Client{Transport: k.net}); err == nil {
			t.Error("an issuer that is down has keys")
		}
		if _, err := FetchKeys(k.t.Context(), "http://issuer.example", &http.Client{Transport: k.net}); err == nil || !strings.Contains(err.Error(), "https") {
			t.Errorf("in the clear: %v", err)
		}
		k.wantAsked(3)
	})
}

// A verifier whose issuer has its keys from elsewhere does not go on with the one before.
func TestKeysFromElsewhere(t *testing.T) {
	key, filed := newES256(t, "k1"), newES256(t, "k2")
	keep(t, func(k *kept) {
		k.net.publish(home, key)
		k.write(home, time.Now(), filed)
		before := newTestVerifier(k.t, k.net, bound(home))
		wantVerify(k.t, before, key.token(k.t, nil), nil)
		issuer := bound(home)
		issuer.KeysFile = k.path
		after, err := NewVerifier(Config{Issuers: []Issuer{issuer}, HTTPClient: &http.Client{Transport: k.net}, Before: before})
		if err != nil {
			t.Fatal(err)
		}
		wantVerify(k.t, after, filed.token(k.t, nil), nil)
	})
}
