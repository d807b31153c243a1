package account

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"mcpgateway/functions/oauth/grant"
)

func TestRemove(t *testing.T) {
	r := newRig(t)
	alices, bobs := r.connect(alice, "notes"), r.connect(bob, "other")
	r.fake.Person = "bob at notes"
	if unended, err := r.Remove(t.Context(), alice, "notes"); unended != nil || err != nil {
		t.Fatal(unended, err)
	}
	if _, good := r.fake.Knows(alices); good {
		t.Error("her token is good where it is from")
	}
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if list, err := r.List(t.Context(), bob); len(list) != 1 || list[0].Server != "other" || list[0].Issuer != r.fake.URL || err != nil {
		t.Errorf("bob's: %+v %v (%s)", list, err, bobs)
	}
	if unended, err := r.Remove(t.Context(), alice, "notes"); unended != nil || err != nil {
		t.Errorf("what is not there: %v, %v", unended, err)
	}
}

// An account is forgotten also where its tokens cannot be ended.
func TestRemoveWhileDown(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.fake.Before = func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/revoke" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return q.URL.Path == "/revoke"
	}
	if unended, err := r.Remove(t.Context(), alice, "notes"); unended == nil || err != nil {
		t.Errorf("%v, %v", unended, err)
	}
	if has, err := r.Has(t.Context(), alice, "notes"); has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
}

// Who removes an account while its token is renewed has removed it, and the new token is ended.
func TestRemoveDuringRenewal(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.pass(2 * time.Hour)
	removed := make(chan error, 1)
	r.fake.Lock()
	r.fake.Before = func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			i, err := r.Store.Get(t.Context(), keyOf(alice, "notes"))
			if err == nil {
				err = r.Store.Delete(t.Context(), i)
			}
			removed <- err
		}
		return false
	}
	r.fake.Unlock()
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) || len(removed) != 1 || <-removed != nil {
		t.Error(err)
	}
	if n := r.fake.Counted("/revoke"); n != 1 {
		t.Errorf("revoked %d times", n)
	}
}

// An account at a server that is not configured any more can be removed, but not used.
func TestRemoveWhatIsGone(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	delete(r.Servers, "notes")
	if _, err := r.token(alice, "notes"); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if list, err := r.List(t.Context(), alice); len(list) != 1 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if unended, err := r.Remove(t.Context(), alice, "notes"); unended == nil || err != nil {
		t.Errorf("%v, %v", unended, err)
	}
	if list, err := r.List(t.Context(), alice); len(list) != 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

// All of a person's ends with them.
func TestRevokePerson(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.connect(alice, "other")
	r.connect(bob, "notes")
	ended, err := (&grant.Grants{Store: r.Store, Now: r.now}).RevokePerson(t.Context(), alice)
	if err != nil || ended != (grant.Ended{Accounts: 2}) {
		t.Errorf("%+v, %v", ended, err)
	}
	if list, err := r.List(t.Context(), alice); len(list) != 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	r.good("bob's", bob, "notes")
}

// One registration is for all processes, and for one server and issuer.
func TestRegistrations(t *testing.T) {
	r := newRig(t)
	r.connect(alice, "notes")
	r.connect(bob, "notes")
	if n := r.fake.Counted("/register"); n != 1 {
		t.Errorf("registered %d times", n)
	}
	r.connect(alice, "other")
	if n := r.fake.Counted("/register"); n != 2 {
		t.Errorf("another server: registered %d times", n)
	}
	kept := &Registrations{Store: r.Store, KEK: r.KEK}
	c, have, err := kept.Find(t.Context(), "notes", r.fake.URL)
	if !have || err != nil || c.Secret.Empty() {
		t.Fatalf("%+v, %v, %v", c, have, err)
	}
	second := c
	second.ID = "second"
	if got, err := kept.Keep(t.Context(), "notes", r.fake.URL, second, time.Time{}); err != nil || got.ID != c.ID {
		t.Errorf("the second of two: %+v, %v", got, err)
	}
	if err := kept.Forget(t.Context(), "notes", r.fake.URL, second); err != nil {
		t.Error(err)
	}
	if _, have, err := kept.Find(t.Context(), "notes", r.fake.URL); !have || err != nil {
		t.Errorf("another's is forgotten: %v", err)
	}
	if err := kept.Forget(t.Context(), "notes", r.fake.URL, c); err != nil {
		t.Error(err)
	}
	if _, have, err := kept.Find(t.Context(), "notes", r.fake.URL); have || err != nil {
		t.Errorf("it is not forgotten: %v", err)
	}
	if got, err := kept.Keep(t.Context(), "notes", r.fake.URL, second, r.now().Add(time.Hour)); err != nil || got.ID != "second" {
		t.Errorf("%+v, %v", got, err)
	}
	r.pass(time.Hour)
	if _, have, err := kept.Find(t.Context(), "notes", r.fake.URL); have || err != nil {
		t.Errorf("a secret that ended: %v", err)
	}
}
