package grant

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/store"
)

// Of two who redeem a code at the same time one is a thief, and neither keeps what it gave.
func TestRedeemTwiceAtOnce(t *testing.T) {
	r := newRig(t)
	code, won := r.code(), ""
	r.store.put = func(k store.Key) {
		if r.store.put = nil; !strings.HasPrefix(k.Part, "code/") {
			t.Errorf("%v is written first", k)
		}
		_, token, err := r.other.Redeem(t.Context(), code, "c", "", verifier, "")
		if err != nil {
			t.Error(err)
		}
		won = token
	}
	if _, err := r.redeem(code); !errors.Is(err, ErrInvalid) {
		t.Errorf("redeemed by both: %v", err)
	}
	r.ended(won)
}

// Whoever was revoked between the two writes of a redemption gets nothing.
func TestRevokedWhileRedeemed(t *testing.T) {
	r := newRig(t)
	code := r.code()
	r.store.put = func(k store.Key) {
		if !strings.HasPrefix(k.Part, "person/") {
			return
		}
		r.store.put = nil
		if n, err := r.other.RevokePerson(t.Context(), Person{issuer, "alice"}); err != nil || n.Grants != 1 {
			t.Errorf("%+v, %v", n, err)
		}
	}
	if _, err := r.redeem(code); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestRedeem(t *testing.T) {
	r := newRig(t)
	for name, tc := range map[string]struct {
		client, redirect, verifier, resource string
		want                                 error
	}{
		"all that was asked":  {"c", "https://c.example/cb", verifier, server, nil},
		"as little as may be": {"c", "", verifier, "", nil},
		"another client's":    {"d", "", verifier, "", ErrInvalid},
		"another redirect":    {"c", "https://c.example/cb2", verifier, "", ErrInvalid},
		"another verifier":    {"c", "", "a-verifier2", "", ErrInvalid},
		"no verifier":         {"c", "", "", "", ErrInvalid},
		"another resource":    {"c", "", verifier, server + "2", ErrTarget},
	} {
		code := r.code()
		_, _, err := r.first.Redeem(t.Context(), code, tc.client, tc.redirect, tc.verifier, tc.resource)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		// A wrong guess does not use the code up: it is the client's still.
		if _, err := r.redeem(code); tc.want != nil && err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

// A used code is remembered for longer than a fresh one is good.
func TestUsedCodeRemembered(t *testing.T) {
	r := newRig(t)
	code := r.code()
	token, err := r.redeem(code)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Pass(9 * time.Minute)
	if _, err := r.redeem(code); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	r.ended(token)
}

// A challenge is never empty, whatever kept it.
func TestAnswersNoChallenge(t *testing.T) {
	if answers("", "") {
		t.Error("no challenge is answered by no verifier")
	}
}
