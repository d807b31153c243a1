package grant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// Whoever holds the token before the last one lost an answer, and may end the grant as well.
func TestRevoke(t *testing.T) {
	r := newRig(t)
	first := r.token()
	if err := r.first.Revoke(t.Context(), first[:len(first)-43]+seal.Random(), "c"); err != nil {
		t.Error(err)
	}
	second, err := r.refresh(first)
	if err != nil {
		t.Fatal(err)
	}
	madeUp := second[:len(second)-43] + seal.Random()
	for name, try := range map[string]struct{ token, client string }{"another client": {second, "d"}, "nonsense": {"x", "c"}, "made up": {madeUp, "c"}} {
		if err := r.first.Revoke(t.Context(), try.token, try.client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.first.Find(t.Context(), second); err != nil {
		t.Errorf("somebody else ended it: %v", err)
	}
	if err := r.first.Revoke(t.Context(), first, "c"); err != nil {
		t.Error(err)
	}
	r.ended(second)
}

func TestFind(t *testing.T) {
	r := newRig(t)
	first := r.token()
	second, err := r.refresh(first)
	if err != nil {
		t.Fatal(err)
	}
	g, ends, err := r.first.Find(t.Context(), second)
	if err != nil || g.Client != "c" || !ends.Equal(g.SignedIn.Add(grantLife)) {
		t.Errorf("%+v, %v, %v", g, ends, err)
	}
	for name, token := range map[string]string{"before": first, "longer": second + "A", "cut": second[:20], "prefix": refreshPrefix, "none": "",
		"without prefix": strings.TrimPrefix(second, refreshPrefix), "with a slash": refreshPrefix + "/" + second[len(refreshPrefix)+1:]} {
		if _, _, err := r.first.Find(t.Context(), token); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A guess at a token of a grant whose id is known to a thief ends it: two know it then.
func TestMadeUpTokenEndsGrant(t *testing.T) {
	r := newRig(t)
	token := r.token()
	r.ended(token[:len(token)-43] + seal.Random())
	r.ended(token)
}

func TestRefreshOfAnotherServer(t *testing.T) {
	r := newRig(t)
	token := r.token()
	if _, _, err := r.first.Refresh(t.Context(), token, "c", server+"2"); !errors.Is(err, ErrTarget) {
		t.Error(err)
	}
	if _, _, err := r.first.Refresh(t.Context(), token, "d", server); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := r.refresh(token); err != nil {
		t.Errorf("and the grant has ended: %v", err)
	}
}

func TestGrace(t *testing.T) {
	r := newRig(t)
	first := r.token()
	second, err := r.refresh(first)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Pass(29 * time.Second)
	if again, err := r.refresh(first); err != nil || again != second {
		t.Errorf("%q, %v", again, err)
	}
	r.clock.Pass(time.Second)
	r.ended(first)
	r.ended(second)
}

// All of a person's ends, of that provider and of nobody else, and no answer of theirs is remembered.
func TestRevokePerson(t *testing.T) {
	r := newRig(t)
	alice, person := r.token(), Person{issuer, "alice"}
	if err := r.first.Consent(t.Context(), person, asked()); err != nil {
		t.Fatal(err)
	}
	if n, err := r.first.RevokePerson(t.Context(), Person{"https://other.example", "alice"}); err != nil || n.Grants != 0 {
		t.Errorf("another provider's alice: %d, %v", n, err)
	}
	if n, err := r.first.RevokePerson(t.Context(), person); err != nil || n.Grants != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	r.ended(alice)
	if yes, err := r.first.Consented(t.Context(), person, asked()); err != nil || yes {
		t.Errorf("the answer is remembered: %v, %v", yes, err)
	}
}

// brief is a store that lists two items at most.
type brief struct{ store.Store }

func (b brief) List(ctx context.Context, part string) ([]store.Item, error) {
	items, err := b.Store.List(ctx, part)
	return items[:min(2, len(items))], err
}

// More grants than a store lists at once.
func TestRevokePersonOfMany(t *testing.T) {
	r := newRig(t)
	for range 5 {
		r.token()
	}
	r.first.Store = brief{r.first.Store}
	if n, err := r.first.RevokePerson(t.Context(), Person{issuer, "alice"}); err != nil || n.Grants != 5 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestConsent(t *testing.T) {
	r := newRig(t)
	alice := Person{issuer, "alice"}
	for range 2 {
		if err := r.first.Consent(t.Context(), alice, asked()); err != nil {
			t.Fatal(err)
		}
		r.clock.Pass(300 * 24 * time.Hour) // the second time it is renewed
	}
	consented := func(p Person, change func(*Request)) bool {
		q := asked()
		change(&q)
		yes, err := r.first.Consented(t.Context(), p, q)
		if err != nil {
			t.Error(err)
		}
		return yes
	}
	if !consented(alice, func(q *Request) { q.Challenge = "another" }) {
		t.Error("forgotten")
	}
	for name, change := range map[string]func(*Request){
		"client": func(q *Request) { q.Client = "d" }, "redirect": func(q *Request) { q.Redirect = "https://c.example/cb2" },
		"server": func(q *Request) { q.Resource += "2" }, "scope": func(q *Request) { q.Scope = "mcp offline_access" },
	} {
		if consented(alice, change) {
			t.Errorf("holds for another %s", name)
		}
	}
	if consented(Person{issuer, "bob"}, func(*Request) {}) || consented(Person{"https://other.example", "alice"}, func(*Request) {}) {
		t.Error("holds for another person")
	}
	r.clock.Pass(66 * 24 * time.Hour)
	if consented(alice, func(*Request) {}) {
		t.Error("holds for longer than a year")
	}
}

// A question is answered once, in the browser in which it was asked, in ten minutes.
func TestQuestion(t *testing.T) {
	r := newRig(t)
	ask := func() string {
		t.Helper()
		id, err := r.first.Ask(t.Context(), Question{Request: asked(), Browser: seal.Hash("browser")}, r.session)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	var s provider.Session
	answer := func(g *Grants, id, browser string) error {
		_, err := g.Answer(t.Context(), id, browser, &s)
		return err
	}
	id := ask()
	for _, browser := range []string{"another", ""} {
		if err := answer(r.first, id, browser); !errors.Is(err, ErrInvalid) {
			t.Errorf("in %q: %v", browser, err)
		}
	}
	if err := answer(r.first, id, "browser"); err != nil || s.Refresh != "up-1" {
		t.Errorf("%+v, %v", s, err)
	}
	if err := answer(r.first, id, "browser"); !errors.Is(err, ErrInvalid) {
		t.Errorf("again: %v", err)
	}
	id = ask()
	r.store.remove = func(store.Key) {
		r.store.remove = nil
		if err := answer(r.other, id, "browser"); err != nil {
			t.Error(err)
		}
	}
	if err := answer(r.first, id, "browser"); !errors.Is(err, ErrInvalid) {
		t.Errorf("by two at once: %v", err)
	}
	id = ask()
	r.clock.Pass(10 * time.Minute)
	if err := answer(r.first, id, "browser"); !errors.Is(err, ErrInvalid) {
		t.Errorf("too late: %v", err)
	}
}

// Whoever reads the store finds nothing there to come in with: no code, no token, no question, nothing of the provider's.
func TestNothingToSteal(t *testing.T) {
	r := newRig(t)
	var written []string
	r.store.put = func(k store.Key) { written = append(written, k.Part+" "+k.Sort) }
	code := r.code()
	token, err := r.redeem(code)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.first.Ask(t.Context(), Question{Browser: seal.Hash("browser")}, r.session)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range written {
		part, sort, _ := strings.Cut(name, " ")
		item, err := r.store.Get(t.Context(), store.Key{Part: part, Sort: sort})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(item)
		all := string(text) + string(item.Value)
		for what, secret := range map[string]string{"code": code, "token": token, "question": id, "browser": "browser", "provider's token": r.session.Refresh} {
			if strings.Contains(all, `"`+secret+`"`) || strings.Contains(all, "/"+secret) || strings.Contains(all, base64.RawStdEncoding.EncodeToString([]byte(secret))) || strings.Contains(all, base64.RawURLEncoding.EncodeToString([]byte(secret))) {
				t.Errorf("the %s is in %s", what, name)
			}
		}
	}
	if len(written) < 4 {
		t.Errorf("%q were looked at", written)
	}
}
