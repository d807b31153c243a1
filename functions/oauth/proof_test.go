package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/seal"
)

func agentForm(r *rig) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "resource": {r.resource("notes")}}
}

func basic(id, secret string) func(*http.Request) {
	return func(q *http.Request) { q.SetBasicAuth(id, secret) }
}

// A client proves itself in one way, which is the one that it registered.
func TestProofs(t *testing.T) {
	r, sign := keyed(t)
	with := func(more ...string) url.Values {
		form := agentForm(r)
		for n := 0; n < len(more); n += 2 {
			form.Set(more[n], more[n+1])
		}
		return form
	}
	assertion := []string{"client_assertion_type", assertionType, "client_assertion"}
	for name, tc := range map[string]struct {
		form url.Values
		edit func(*http.Request)
		good bool
	}{
		"Basic":                        {with(), basic(agentID, agentSecret), true},
		"in the form":                  {with("client_id", agentID, "client_secret", agentSecret), nil, true},
		"Basic, and its id":            {with("client_id", agentID), basic(agentID, agentSecret), true},
		"an assertion, and its id":     {with(append(assertion, sign(nil), "client_id", "night")...), nil, true},
		"no secret":                    {with("client_id", agentID), nil, false},
		"wrong in the form":            {with("client_id", agentID, "client_secret", agentSecret+"x"), nil, false},
		"Basic, and a secret":          {with("client_secret", agentSecret), basic(agentID, agentSecret), false},
		"Basic, and another id":        {with("client_id", staticID), basic(agentID, agentSecret), false},
		"Basic, and an assertion":      {with(append(assertion, sign(nil))...), basic(agentID, agentSecret), false},
		"Basic of one with keys":       {with(), basic("night", ""), false},
		"keys' id alone":               {with("client_id", "night"), nil, false},
		"an assertion, and a secret":   {with(append(assertion, sign(nil), "client_secret", "x")...), nil, false},
		"an assertion, and another id": {with(append(assertion, sign(nil), "client_id", agentID)...), nil, false},
		"an assertion of no type":      {with("client_assertion", sign(nil)), nil, false},
		"an assertion of another type": {with("client_assertion", sign(nil), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), nil, false},
		"another scheme":               {with("client_id", agentID, "client_secret", agentSecret), func(q *http.Request) { q.Header.Set("Authorization", "Bearer x") }, false},
		"half of Basic":                {with("client_id", agentID, "client_secret", agentSecret), func(q *http.Request) { q.Header.Set("Authorization", "Basic !") }, false},
		"Basic, badly encoded":         {with(), basic(agentID, "%zz"), false},
		"nobody":                       {with(), nil, false},
		"a stranger":                   {with("client_id", "stranger"), nil, false},
		"a stranger by Basic":          {with(), basic("stranger", "x"), false},
	} {
		edit := tc.edit
		if edit == nil {
			edit = func(*http.Request) {}
		}
		a := r.post("/token", tc.form, edit)
		if tc.good && a.Status != 200 || !tc.good && (a.Status != 401 || a.Error != "invalid_client") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// Both halves of Basic are encoded as in a form (RFC 6749 section 2.3.1).
func TestBasicIsEncoded(t *testing.T) {
	r := newRig(t, twoServers)
	const id, secret = "night shift", "a+b%c:d"
	r.server.clients.Static[id] = &client.Client{ID: id, Auth: client.AuthBasic, SecretHash: seal.Hash(secret), Assured: true, Grants: []string{client.GrantCredentials}}
	if a := r.post("/token", agentForm(r), basic(url.QueryEscape(id), url.QueryEscape(secret))); a.Status != 200 {
		t.Errorf("%+v", a)
	}
	if a := r.post("/token", agentForm(r), basic(id, secret)); a.Status != 401 {
		t.Errorf("as it is: %+v", a)
	}
}

// An agent's token is for one server that there is.
func TestAgentResource(t *testing.T) {
	r := newRig(t, twoServers)
	for _, resource := range []string{"", "https://evil.example/mcp-connect/notes", r.resource("NOTES"), r.resource("notes") + "?x"} {
		form := agentForm(r)
		form.Set("resource", resource)
		if a := r.post("/token", form, basic(agentID, agentSecret)); a.Error != "invalid_target" {
			t.Errorf("%q: %+v", resource, a)
		}
	}
	form := agentForm(r)
	form.Set("resource", r.gateway) // which has a list of servers to offer
	if a := r.post("/token", form, basic(agentID, agentSecret)); a.Status != 200 || strings.Trim(fmt.Sprint(claim(t, a.Access, "aud")), "[]") != r.gateway {
		t.Errorf("the gateway itself: %+v", a)
	}
}

func (r *rig) assert(assertion string) answered {
	r.t.Helper()
	form := agentForm(r)
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", assertion)
	return r.post("/token", form)
}

// An assertion is remembered for as long as it could be used again.
func TestAssertionRemembered(t *testing.T) {
	r, sign := keyed(t)
	long := sign(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(r.now().Add(maxAssertion - time.Second)) })
	if a := r.assert(long); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	r.pass(maxAssertion) // within the leeway
	if a := r.assert(long); a.Status != 401 {
		t.Errorf("used again at its end: %+v", a)
	}
}

func TestAssertionBounds(t *testing.T) {
	r, sign := keyed(t)
	for name, tc := range map[string]struct {
		change func(*jwt.Claims)
		status int
	}{
		"our URL with a slash": {func(c *jwt.Claims) { c.Audience = jwt.Audience{r.url + "/"} }, 200},
		"the token endpoint":   {func(c *jwt.Claims) { c.Audience = jwt.Audience{r.url + "/token"} }, 200},
		"another endpoint":     {func(c *jwt.Claims) { c.Audience = jwt.Audience{r.url + "/register"} }, 401},
		"a long id":            {func(c *jwt.Claims) { c.ID = strings.Repeat("i", 256) }, 200},
		"a longer id":          {func(c *jwt.Claims) { c.ID = strings.Repeat("i", 257) }, 401},
		"as large as may be":   {func(c *jwt.Claims) { c.Audience = jwt.Audience{strings.Repeat("x", 16<<10)} }, 401},
	} {
		if a := r.assert(sign(tc.change)); a.Status != tc.status {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// An id of an assertion is one of its client's.
func TestAssertionIdsAreEachClients(t *testing.T) {
	r, sign := keyed(t)
	night := r.server.clients.Static["night"]
	r.server.clients.Static["day"] = &client.Client{ID: "day", Auth: client.AuthKeyJWT, Keys: night.Keys, Grants: night.Grants, Assured: true}
	for _, id := range []string{"night", "day"} {
		if a := r.assert(sign(func(c *jwt.Claims) { c.Issuer, c.Subject, c.ID = id, id, "one" })); a.Status != 200 {
			t.Errorf("%s: %+v", id, a)
		}
	}
}

// A key is taken for what its client says that it is for.
func TestSignedBy(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(id string) *jwt.JSONWebToken {
		t.Helper()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwt.Signed(signer).Claims(jwt.Claims{}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		parsed, _, err := readAssertion(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for name, tc := range map[string]struct {
		named string
		key   jose.JSONWebKey
		want  bool
	}{
		"named": {"a", jose.JSONWebKey{KeyID: "a"}, true}, "not named": {"", jose.JSONWebKey{KeyID: "a"}, true}, "of no name": {"a", jose.JSONWebKey{}, true},
		"another": {"b", jose.JSONWebKey{KeyID: "a"}, false}, "its algorithm": {"a", jose.JSONWebKey{Algorithm: "ES256"}, true},
		"another algorithm": {"a", jose.JSONWebKey{Algorithm: "ES384"}, false},
	} {
		tc.key.Key = key.Public()
		if got := signedBy(signed(tc.named), &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{tc.key}}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if signedBy(signed(""), nil) {
		t.Error("signed by none")
	}
}
