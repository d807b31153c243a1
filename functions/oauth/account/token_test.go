package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/internal/store"
)

func TestToken(t *testing.T) {
	r := newRig(t)
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) {
		t.Errorf("before she connected: %v", err)
	}
	first := r.connect(alice, "notes")
	if got := r.good("at once", alice, "notes"); got != first {
		t.Errorf("another token: %q", got)
	}
	for _, other := range []struct {
		p      grant.Person
		server string
	}{{bob, "notes"}, {alice, "other"}, {grant.Person{Issuer: "https://other.example", Subject: "alice"}, "notes"}, {alice, "stranger"}} {
		if got, err := r.token(other.p, other.server); !errors.Is(err, ErrNone) || got != "" {
			t.Errorf("%+v: %q, %v", other, got, err)
		}
	}
	r.pass(time.Hour - margin - time.Second)
	if got := r.good("shortly before its end", alice, "notes"); got != first {
		t.Errorf("renewed too early: %q", got)
	}
	r.pass(2 * time.Second)
	second := r.good("at its end", alice, "notes")
	if second == first || r.fake.Counted("/token") != 2 {
		t.Errorf("not renewed: %q", second)
	}
	r.pass(2 * time.Hour)
	if got := r.good("long after", alice, "notes"); got == second {
		t.Error("not renewed")
	}
	if has, err := r.Has(t.Context(), alice, "notes"); !has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
}

// However many ask at once, and in however many processes, the token is renewed once: the second time the refresh token would be
// no good, and the account at its end.
func TestRenewedInOneFlight(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.pass(2 * time.Hour)
	r.fake.Lock()
	r.fake.Before = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			time.Sleep(100 * time.Millisecond)
		}
		return false
	}
	r.fake.Unlock()
	processes := []*Accounts{r.Accounts, r.process(bytes.Repeat([]byte{7}, 32)), r.process(bytes.Repeat([]byte{7}, 32))}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for i := range 30 {
		wg.Go(func() {
			text, _, err := processes[i%3].Token(t.Context(), alice, "notes", nil)
			mu.Lock()
			defer mu.Unlock()
			if got[text.Reveal()]++; err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.fake.Counted("/token"); n != 2 || len(got) != 1 {
		t.Errorf("the token endpoint was asked %d times, and there are %d tokens", n, len(got))
	}
}

// While the server's sign-in is down what is good is used, and nothing is lost.
func TestDownAtRenewal(t *testing.T) {
	r := newRig(t)
	first := r.connect(alice, "notes")
	down := func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			w.WriteHeader(http.StatusBadGateway)
		}
		return q.URL.Path == "/token"
	}
	r.fake.Before = down
	r.pass(time.Hour - 30*time.Second)
	if got := r.good("the last seconds", alice, "notes"); got != first {
		t.Errorf("%q", got)
	}
	r.pass(time.Minute)
	if got, err := r.token(alice, "notes"); !errors.Is(err, upstream.ErrUnavailable) || errors.Is(err, ErrNone) || got != "" {
		t.Errorf("%q, %v", got, err)
	}
	r.fake.Before = nil
	r.good("afterwards", alice, "notes")
}

// Refusing to renew ends the account.
func TestRenewalRefused(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.fake.EndAll()
	r.pass(2 * time.Hour)
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if list, err := r.List(t.Context(), alice); len(list) != 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	asked := r.fake.Counted("/token")
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) || r.fake.Counted("/token") != asked {
		t.Errorf("asked again: %v", err)
	}
	r.connect(alice, "notes")
	r.good("connected anew", alice, "notes")
}

// Without a refresh token an account ends with its access token.
func TestNoRefreshToken(t *testing.T) {
	r := newRig(t)
	r.fake.Edit = func(of string, m map[string]any) {
		if of == "tokens" {
			delete(m, "refresh_token")
		}
	}
	r.connect(alice, "notes")
	r.pass(time.Hour - time.Second)
	r.good("its last second", alice, "notes")
	r.pass(time.Second)
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if has, err := r.Has(t.Context(), alice, "notes"); has || err != nil {
		t.Errorf("nobody would be led there: %v", err)
	}
}

// A server that refuses a token has it renewed, not more often than it is worth.
func TestRefusedToken(t *testing.T) {
	r := newRig(t)
	first := r.connect(alice, "notes")
	sum := hash(first)
	ask := func(refused []byte) string {
		text, _, err := r.Token(t.Context(), alice, "notes", refused)
		if err != nil {
			t.Fatal(err)
		}
		return text.Reveal()
	}
	if ask(sum[:]) != first {
		t.Error("a token that was just had is renewed")
	}
	r.pass(renewAfter)
	if other := hash("another"); ask(other[:]) != first || ask(nil) != first {
		t.Error("renewed for another token")
	}
	second := ask(sum[:])
	if second == first || ask(sum[:]) != second || r.fake.Counted("/token") != 2 {
		t.Errorf("a refused token is not renewed once")
	}
}

// What the key-encryption key or the store cannot do costs no refresh token.
func TestRenewalIsKept(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.pass(2 * time.Hour)
	r.kek.off.Store(true)
	if _, err := r.token(alice, "notes"); !errors.Is(err, errOff) || r.fake.Counted("/token") != 1 {
		t.Errorf("without the key: %v, asked %d times", err, r.fake.Counted("/token"))
	}
	r.kek.off.Store(false)
	for name, lost := range map[string]bool{"the store fails": false, "its answer is lost": true} {
		r.store.lost.Store(lost)
		r.store.good.Store(1) // that somebody renews
		r.store.writes.Store(2)
		r.good(name, alice, "notes")
		r.good(name+", again", alice, "notes")
		r.pass(2 * time.Hour)
		r.good(name+", later", alice, "notes")
		r.pass(2 * time.Hour)
	}
}

// Who asked may leave: the token is renewed for whoever comes next.
func TestCallerLeaves(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.pass(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	r.fake.Lock()
	r.fake.Before = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
		return false
	}
	r.fake.Unlock()
	_, _, _ = r.Token(ctx, alice, "notes", nil)
	r.good("the next", alice, "notes")
	if n := r.fake.Counted("/token"); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// A record is of its person and its server, whoever may write to the store.
func TestSwappedRecords(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	mine, err := r.Store.Get(t.Context(), keyOf(alice, "notes"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mine.Value), "at-") || strings.Contains(string(mine.Value), "rt-") {
		t.Errorf("tokens are stored as they are: %s", mine.Value)
	}
	for _, to := range []store.Key{keyOf(bob, "notes"), keyOf(alice, "other")} {
		if _, err := r.Store.Put(t.Context(), store.Item{Key: to, Value: mine.Value}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := r.token(bob, "notes"); !errors.Is(err, ErrNone) || got != "" {
		t.Errorf("another person's: %q, %v", got, err)
	}
	if got, err := r.token(alice, "other"); !errors.Is(err, ErrNone) || got != "" {
		t.Errorf("another server's: %q, %v", got, err)
	}
	r.good("her own", alice, "notes")
	var kept Account
	if err := json.Unmarshal(mine.Value, &kept); err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Open(t.Context(), r.KEK, labelOf(mine.Key), kept.Sealed); err != nil {
		t.Error(err)
	}
}

// What was encrypted with another key, or is for a server that is elsewhere now, is replaced by connecting anew.
func TestOtherKeyOrPlace(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	other := r.process(bytes.Repeat([]byte{8}, 32))
	if _, _, err := other.Token(t.Context(), alice, "notes", nil); !errors.Is(err, ErrNone) {
		t.Errorf("another key: %v", err)
	}
	r.Servers["notes"].Resource += "/moved"
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) {
		t.Errorf("another place: %v", err)
	}
	r.Accounts = other
	r.connect(alice, "notes")
	r.good("connected anew", alice, "notes")
}
