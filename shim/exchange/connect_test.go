package exchange

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/secret"
)

// A page that an issuer names is where callers are led to, if it is the issuer's own.
func TestPageOfIssuer(t *testing.T) {
	for page, own := range map[string]bool{
		"https://login.test/connect/notes":                   true,
		"https://LOGIN.test:443/connect":                     true,
		"https://login.test.evil.example/connect":            false,
		"https://user@login.test/connect":                    false,
		"https://other.test/connect":                         false,
		"http://login.test/connect":                          false,
		"https://login.test:444/connect":                     false,
		"javascript:alert(1)":                                false,
		"/connect":                                           false,
		"https://login.test/a b":                             false,
		"https://login.test/" + strings.Repeat("a", maxPage): false,
	} {
		i := &issuer{answer: says(400, `{"error":"interaction_required","error_uri":"`+page+`"}`)}
		_, err := tokenOf(t, newExchanger(t, testRules(), Secrets{}, i), subject, caller())
		switch {
		case own && (err.Elicit == nil || err.Elicit.URL != page || !strings.Contains(err.Message, page) || err.Status != http.StatusForbidden):
			t.Errorf("%s: %v", page, err)
		case !own && (err.Elicit != nil || err.Status != http.StatusUnauthorized || strings.Contains(err.Message, "connect")):
			t.Errorf("%s: %v", page, err)
		}
	}
}

// Who has just connected their account is not kept waiting by what the issuer said before.
func TestConnectedAtOnce(t *testing.T) {
	i := &issuer{answer: func(n int) (int, string) {
		if n == 1 {
			return 400, `{"error":"interaction_required","error_uri":"https://login.test/connect"}`
		}
		return 200, `{"access_token":"theirs","token_type":"Bearer"}`
	}}
	e := newExchanger(t, testRules(), Secrets{}, i)
	if _, err := tokenOf(t, e, subject, caller()); err == nil || err.Elicit == nil {
		t.Fatal(err)
	}
	if got, err := tokenOf(t, e, secret.New(subject.Reveal()), caller()); err != nil || got != "Bearer theirs" {
		t.Errorf("%q, %v", got, err)
	}
}

// Who gave a token is told that the server did not take it: nothing else says that it must be renewed before its end.
func TestRefusedTokenIsNamed(t *testing.T) {
	i := &issuer{answer: gives(3600)}
	e := newExchanger(t, testRules(), Secrets{}, i)
	c, err := e.Credential(t.Context(), subject, caller())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Renew(t.Context()); !again || err != nil || sent(t, c) != "Bearer issued-2" {
		t.Fatalf("%v, %v", again, err)
	}
	sum := sha256.Sum256([]byte("issued-1"))
	if first, second := i.requests[0].Get("refused_token_sha256"), i.requests[1].Get("refused_token_sha256"); first != "" || second != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Errorf("%q, %q", first, second)
	}
}
