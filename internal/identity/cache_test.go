package identity

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	c, source, now := newCache(), &keySource{}, time.Now()
	for n := range 10 * cacheSize {
		c.put(keyOf(fmt.Sprint(n), nil), verified{source: source, until: now.Add(time.Hour)})
		if _, ok := c.get(keyOf("0", nil), now); !ok {
			t.Fatalf("what is used was dropped after %d", n)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*cacheSize {
		t.Errorf("%d entries", n)
	}
	if _, ok := c.get(keyOf("1", nil), now); ok {
		t.Error("what is not used was kept")
	}
}

func TestCacheKeysAreUnambiguous(t *testing.T) {
	seen := make(map[cacheKey]string)
	for _, in := range [][]string{{"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {"a", "", "b"}, {"a", "b", ""}, {"b", "a"}} {
		k := keyOf(in[0], in[1:])
		if other, ok := seen[k]; ok {
			t.Errorf("%q is %s", in, other)
		}
		seen[k] = fmt.Sprintf("%q", in)
	}
}

// A token that was verified for one server must not come out of the cache for another.
func TestCacheKeepsServersApart(t *testing.T) {
	bubble(t)(func(t *testing.T, _ *fakeIssuers, v *Verifier, key testKey) {
		token := key.token(t, nil)
		wantVerify(t, v, token, nil)
		if _, err := v.Verify(t.Context(), token, []string{resource + "2"}); !errors.Is(err, errAudience) {
			t.Errorf("got %v", err)
		}
	})
}
