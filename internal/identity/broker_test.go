package identity

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// broker signs in the people of partner.
func broker() Issuer {
	return Issuer{URL: home, Audiences: []string{"{resource}"}, Brokers: []string{partner}}
}

func TestWhose(t *testing.T) {
	for _, tc := range []struct{ sub, issuer, subject string }{
		{"agent", home, "agent"},
		{partner + "#alice", partner, "alice"},
		{QualifiedSubject(partner, "a#b/c %é"), partner, "a#b/c %é"},
		{QualifiedSubject(partner, strings.Repeat("é", maxSubject/2)), partner, strings.Repeat("é", maxSubject/2)},
		{partner + "/#alice", "", ""},
		{home + "#alice", "", ""},
		{"#alice", "", ""},
		{partner + "#", "", ""},
		{partner + "#al%69ce", "", ""}, // another spelling of alice
		{partner + "#a%0ab", "", ""},
		{partner + "#a%zz", "", ""},
		{partner + "#" + strings.Repeat("a", maxSubject+1), "", ""},
		{strings.Repeat("a", maxSubject+1), "", ""},
	} {
		issuer, subject, err := broker().whose(tc.sub)
		if (err != nil) != (tc.issuer == "") || err == nil && (issuer != tc.issuer || subject != tc.subject) {
			t.Errorf("whose(%.60q) = %q, %.60q, %v", tc.sub, issuer, subject, err)
		}
	}
	if issuer, subject, err := (Issuer{URL: home}).whose(partner + "#alice"); err != nil || issuer != home || subject != partner+"#alice" {
		t.Errorf("an issuer that is no broker: %q, %q, %v", issuer, subject, err)
	}
}

func TestBrokersToken(t *testing.T) {
	key := newES256(t, "k")
	v := brokerVerifier(t, key)
	for sub, want := range map[string]string{QualifiedSubject(partner, "alice"): partner, "agent": home, home + "#alice": ""} {
		token := key.token(t, object{"sub": sub})
		got, err := v.Verify(t.Context(), token, []string{resource})
		if want == "" {
			if !errors.Is(err, errBroker) {
				t.Errorf("%s: %v", sub, err)
			}
			continue
		}
		if err != nil || got.Issuer != want || len(got.Groups) != 1 {
			t.Errorf("%s: %+v, %v", sub, got, err)
		}
	}
}

// What a broker gave ends when it said, and what others gave a little later, as clocks may differ.
func TestBrokersTokenEndsInTime(t *testing.T) {
	key := newES256(t, "k")
	token := key.token(t, object{"exp": time.Now().Add(-2 * time.Second).Unix()})
	wantVerify(t, brokerVerifier(t, key), token, errExpired)
	other := bound(home)
	other.Keys = snapshotOf(t, key)
	wantVerify(t, newTestVerifier(t, newFakeIssuers(nil), other), token, nil)
}

func TestBrokersRefused(t *testing.T) {
	other := bound(partner)
	for name, brokers := range map[string][]string{"itself": {home}, "nobody": {"https://nobody.example"}, "one that is": {partner}} {
		second := other
		if name == "one that is" {
			second.Brokers = []string{home}
		}
		first := broker()
		first.Brokers = brokers
		if _, err := NewVerifier(Config{Issuers: []Issuer{first, second}}); err == nil || !strings.Contains(err.Error(), "brokers") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// brokerVerifier knows the broker's key and needs nobody else's.
func brokerVerifier(t *testing.T, key testKey) *Verifier {
	t.Helper()
	b := broker()
	b.Keys = snapshotOf(t, key)
	return newTestVerifier(t, newFakeIssuers(nil), b, bound(partner))
}
