package exchange

import (
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/secret"
)

func numbered(n int) (k key) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

func tokenText(s string) answer { return answer{token: &issued{text: secret.New(s)}} }

// Those used last stay, by number and by size.
func TestCacheIsBounded(t *testing.T) {
	now := newClock()
	c := newCache(3, now)
	for n := range 3 {
		c.put(numbered(n), tokenText("x"), now().in(time.Hour))
	}
	c.get(numbered(0))
	c.put(numbered(3), tokenText("x"), now().in(time.Hour))
	for n, want := range map[int]bool{0: true, 1: false, 2: true, 3: true} {
		if got := c.get(numbered(n)) != nil; got != want {
			t.Errorf("%d is there: %v", n, got)
		}
	}
	c = newCache(maxTokens, now)
	big := strings.Repeat("x", maxToken)
	for n := range 2 * maxCacheSize / maxToken {
		c.put(numbered(n), tokenText(big), now().in(time.Hour))
		c.put(numbered(n), tokenText(big), now().in(time.Hour)) // another in its place
		if c.size > maxCacheSize {
			t.Fatalf("%d bytes are kept", c.size)
		}
	}
	if n := c.order.Len(); n != maxCacheSize/maxToken || n != len(c.entries) {
		t.Errorf("%d and %d tokens are kept, %d fit", n, len(c.entries), maxCacheSize/maxToken)
	}
}

// What is over is let go of though nobody asks for it, and then nothing runs any more.
func TestCacheIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := newClock()
		c := newCache(10, now)
		c.put(numbered(1), tokenText("x"), now().in(time.Second))
		c.put(numbered(2), tokenText("x"), now().in(sweepEvery+time.Second))
		c.renew(numbered(3), nil)
		left := func() (int, int, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.order.Len(), c.size, c.sweeping
		}
		time.Sleep(sweepEvery + time.Millisecond)
		synctest.Wait()
		if n, size, sweeping := left(); n != 1 || size != 1 || !sweeping {
			t.Errorf("after one sweep: %d entries of %d bytes, sweeping %v", n, size, sweeping)
		}
		time.Sleep(sweepEvery)
		synctest.Wait()
		if n, size, sweeping := left(); n != 0 || size != 0 || sweeping {
			t.Errorf("after two: %d entries of %d bytes, sweeping %v", n, size, sweeping)
		}
	})
}

// A server that refuses every token costs its issuer an exchange now and then.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{answer: gives(3600)}
		e := newExchanger(t, testRules(), Secrets{}, i)
		credential := func() *Credential {
			c, err := e.Credential(t.Context(), subject, caller())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		renew := func(c *Credential, want bool, token string) {
			t.Helper()
			if again, err := c.Renew(t.Context()); again != want || err != nil || sent(t, c) != "Bearer "+token {
				t.Errorf("renewed %v, %v, now %s; want %v, %s", again, err, sent(t, c), want, token)
			}
		}
		first, second := credential(), credential()
		renew(first, true, "issued-2")
		renew(first, false, "issued-2")        // once for each request
		renew(second, true, "issued-2")        // which another has exchanged already
		renew(credential(), false, "issued-2") // it was refused as soon as it was there
		time.Sleep(renewEvery + time.Millisecond)
		renew(credential(), true, "issued-3")
		if i.asked() != 3 {
			t.Errorf("asked %d times", i.asked())
		}
	})
}

// What the issuer says when it is asked again is the caller's answer.
func TestRenewalThatIsRefused(t *testing.T) {
	i := &issuer{answer: func(n int) (int, string) {
		if n > 1 {
			return 400, `{"error":"invalid_grant"}`
		}
		return gives(60)(n)
	}}
	c, err := newExchanger(t, testRules(), Secrets{}, i).Credential(t.Context(), subject, caller())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Renew(t.Context()); again || err == nil {
		t.Errorf("%v, %v", again, err)
	}
}
