package exchange

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

// tokenWith is an unsigned token with claims: who checks it stands before this package.
func tokenWith(claims string) secret.Text {
	return secret.New("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".e30")
}

func TestHeaders(t *testing.T) {
	c := rules.Credentials{Headers: []rules.Header{{Name: "x-api-key", Secret: "k"}, {Name: "X-User", Claim: "email"}, {Name: "Authorization", Secret: "auth"}}}
	s := Secrets{Headers: map[string]secret.Text{"k": secret.New("key"), "auth": secret.New("Bearer static")}}
	e := newExchanger(t, c, s, nil)
	for claims, want := range map[string]string{
		`{"email":"alice@example.com"}`: "alice@example.com", `{"email":7}`: "7", `{"email":true}`: "true", `{"email":"a b"}`: "a b",
		`{}`: "", `{"email":null}`: "", `{"email":["a"]}`: "", `{"email":{"a":1}}`: "", `{"email":""}`: "", `{"email":1.5}`: "", `{"Email":"x"}`: "",
		`{"email":"a\r\nX-Admin: 1"}`: "", `{"email":"é"}`: "", `{"email":" a"}`: "", `{"email":"a","email":"b"}`: "", `{"email":"` + strings.Repeat("x", maxHeader+1) + `"}`: "",
	} {
		cr, err := e.Credential(t.Context(), tokenWith(claims), caller())
		if want == "" {
			if err == nil {
				t.Errorf("%.60s goes out", claims)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", claims, err)
			continue
		}
		h := http.Header{}
		if err := cr.Set(h, ""); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(http.Header{"X-Api-Key": {"key"}, "X-User": {want}, "Authorization": {"Bearer static"}}, h); d != "" {
			t.Errorf("%s: %s", claims, d)
		}
	}
}

// Rules and shim that are not of the same server send nothing anywhere.
func TestOrigin(t *testing.T) {
	const here, there = "https://a.test:443", "https://b.test:443"
	for _, c := range []struct{ rules, shim string }{{here, there}, {here, ""}, {"", here}, {here, "http://a.test:443"}} {
		e := newExchanger(t, rules.Credentials{Origin: c.rules, Headers: []rules.Header{{Name: "X-Key", Secret: "k"}}},
			Secrets{Headers: map[string]secret.Text{"k": secret.New("v")}}, nil)
		cr, err := e.Credential(t.Context(), subject, caller())
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if err := cr.Set(h, c.shim); !errors.Is(err, ErrElsewhere) || len(h) != 0 {
			t.Errorf("%q at %q: %v, %v", c.rules, c.shim, err, h)
		}
	}
}

func TestInsecureForward(t *testing.T) {
	e := newExchanger(t, rules.Credentials{InsecureForward: true}, Secrets{}, nil)
	if got, err := tokenOf(t, e, subject, caller()); err != nil || got != "Bearer "+subject.Reveal() {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExchangeIntoAnotherHeader(t *testing.T) {
	c := testRules()
	c.Exchange.Header = "x-upstream-token"
	cr, err := newExchanger(t, c, Secrets{}, &issuer{answer: gives(60)}).Credential(t.Context(), subject, caller())
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	if err := cr.Set(h, ""); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(http.Header{"X-Upstream-Token": {"issued-1"}}, h); d != "" {
		t.Error(d)
	}
}

// What is missing is found when the rules are compiled.
func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*rules.Credentials){
		"grant":         func(c *rules.Credentials) { c.Exchange.Grant = "password" },
		"auth":          func(c *rules.Credentials) { c.Exchange.Client.Auth = "x" },
		"secret":        func(c *rules.Credentials) { c.Exchange.Client.Auth = rules.AuthBasic },
		"actor":         func(c *rules.Credentials) { c.Exchange.ActorTokenType = "jwt" },
		"egress":        func(c *rules.Credentials) { c.Exchange.Egress = "" },
		"URL":           func(c *rules.Credentials) { c.Exchange.URL = "ftp://x" },
		"header secret": func(c *rules.Credentials) { c.Headers = []rules.Header{{Name: "X-A", Secret: "k"}} },
	} {
		c := testRules()
		change(&c)
		if _, err := New(Config{Resource: resource, Rules: c}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	c := rules.Credentials{Headers: []rules.Header{{Name: "X-A", Secret: "k"}}}
	if _, err := New(Config{Resource: resource, Rules: c, Secrets: Secrets{Headers: map[string]secret.Text{"k": secret.New("hunter2\nX-B: 1")}}}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret of two lines: %v", err)
	}
}

// However a credential is printed, nothing of it is read.
func TestCredentialIsNotPrinted(t *testing.T) {
	e := newExchanger(t, testRules(), Secrets{}, &issuer{answer: gives(60)})
	c, err := e.Credential(t.Context(), subject, caller())
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} { // %s would follow pointers into what is in use
		for _, v := range []any{c, *c, c.token, *c.token} { //nolint:govet // a copy is what a careless log line makes
			if got := fmt.Sprintf(verb, v); strings.Contains(got, subject.Reveal()) || strings.Contains(got, "issued-1") {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
}

func BenchmarkCachedCredential(b *testing.B) {
	for name, c := range map[string]rules.Credentials{
		"exchange": testRules(), "headers": {Headers: []rules.Header{{Name: "X-Key", Secret: "k"}}},
		"claim": {Headers: []rules.Header{{Name: "X-User", Claim: "email"}}},
	} {
		b.Run(name, func(b *testing.B) {
			e := newExchanger(b, c, Secrets{Headers: map[string]secret.Text{"k": secret.New("v")}}, &issuer{answer: gives(36000)})
			who, token, h := caller(), tokenWith(`{"email":"alice@example.com","scope":"read write","groups":["a","b","c"]}`), http.Header{}
			who.Scopes = []string{"write", "read", "openid"}
			b.ReportAllocs()
			for b.Loop() {
				cr, err := e.Credential(b.Context(), token, who)
				if err != nil {
					b.Fatal(err)
				}
				if err := cr.Set(h, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
