package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/identity"
)

// deskID is a client whose people the provider names, and neighbourID another.
const deskID, neighbourID = "desk", "neighbour"

func assertionRig(t *testing.T) *rig {
	r := newRig(t, twoServers)
	r.edit("    - {id: robot,", "    - {id: desk, secret: robot, assertions: true}\n    - {id: neighbour, secret: robot, assertions: true}\n    - {id: robot,")
	return r
}

// providerKey is the key that the provider signs by.
func (r *rig) providerKey() *ecdsa.PrivateKey {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "issuer.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}

type claimSet map[string]any

// asserts signs an identity assertion for alice at the client desk, with other claims; nil leaves one out.
func (r *rig) asserts(key *ecdsa.PrivateKey, kind string, change claimSet) string {
	r.t.Helper()
	now := r.now().Unix()
	claims := claimSet{"iss": r.provider.URL, "sub": "alice", "aud": r.url, "client_id": deskID, "resource": r.resource("notes"), "jti": r.random(),
		"iat": now, "exp": now + 300, "groups": []string{"engineering"}}
	for name, v := range change {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
	if err != nil {
		r.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		r.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// bring has a client bring an assertion; more are further parameters.
func (r *rig) bring(id, text string, more ...string) answered {
	r.t.Helper()
	form := url.Values{"grant_type": {client.GrantAssertion}, "assertion": {text}}
	for i := 0; i < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return r.post("/token", form, func(q *http.Request) { q.SetBasicAuth(id, agentSecret) })
}

// The provider's word for alice at this client becomes a token for the one server that it names.
func TestIDJAG(t *testing.T) {
	r := assertionRig(t)
	if _, _, m := r.visit(r.browser(), "GET", r.url+"/.well-known/oauth-authorization-server", nil); !strings.Contains(m, `"authorization_grant_profiles_supported":["urn:ietf:params:oauth:grant-profile:id-jag"]`) {
		t.Error(m)
	}
	text := r.asserts(r.providerKey(), identity.TypeIDJAG, nil)
	got := r.bring(deskID, text)
	who, err := r.verify(got.Access, r.resource("notes"))
	if got.Status != 200 || got.Refresh != "" || err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	want := identity.Identity{Issuer: r.provider.URL, Subject: "alice", Groups: []string{"engineering"}, Client: deskID, Scopes: []string{"mcp"}, Expiry: who.Expiry}
	if diff := cmp.Diff(want, who); diff != "" {
		t.Error(diff)
	}
	if got := r.bring(deskID, text); got.Error != "invalid_grant" {
		t.Errorf("a second time: %+v", got)
	}
	if got := r.bring(deskID, r.asserts(r.providerKey(), "application/oauth-id-jag+JWT", claimSet{"aud": []string{r.url}}), "resource", r.resource("notes")); got.Status != 200 {
		t.Errorf("with resource: %+v", got)
	}
	again := r.asserts(r.providerKey(), identity.TypeIDJAG, nil)
	var all sync.WaitGroup
	results := make(chan int, 8)
	for range cap(results) {
		all.Go(func() { results <- r.bring(deskID, again).Status })
	}
	all.Wait()
	good := 0
	for range cap(results) {
		if <-results == 200 {
			good++
		}
	}
	if good != 1 {
		t.Errorf("at the same time it is good %d times", good)
	}
}

func TestIDJAGRefuses(t *testing.T) {
	r := assertionRig(t)
	key := r.providerKey()
	strange, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	in := func(d time.Duration) int64 { return r.now().Add(d).Unix() }
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"nothing":               {"", "invalid_grant"},
		"no JWT":                {"x.y.z", "invalid_grant"},
		"signed by a stranger":  {r.asserts(strange, identity.TypeIDJAG, nil), "invalid_grant"},
		"an access token":       {r.asserts(key, "at+jwt", nil), "invalid_grant"},
		"an ID token":           {r.asserts(key, "JWT", nil), "invalid_grant"},
		"one of ours":           {r.tokens("alice").Access, "invalid_grant"},
		"another issuer's":      {r.asserts(key, identity.TypeIDJAG, claimSet{"iss": "https://evil.example"}), "invalid_grant"},
		"as if ours":            {r.asserts(key, identity.TypeIDJAG, claimSet{"iss": r.url}), "invalid_grant"},
		"for another server":    {r.asserts(key, identity.TypeIDJAG, claimSet{"aud": "https://other.example"}), "invalid_grant"},
		"for two":               {r.asserts(key, identity.TypeIDJAG, claimSet{"aud": []string{r.url, "https://other.example"}}), "invalid_grant"},
		"for our token address": {r.asserts(key, identity.TypeIDJAG, claimSet{"aud": r.url + "/token"}), "invalid_grant"},
		"another client's":      {r.asserts(key, identity.TypeIDJAG, claimSet{"client_id": neighbourID}), "invalid_grant"},
		"no client's":           {r.asserts(key, identity.TypeIDJAG, claimSet{"client_id": nil, "azp": deskID}), "invalid_grant"},
		"no resource":           {r.asserts(key, identity.TypeIDJAG, claimSet{"resource": nil}), "invalid_grant"},
		"two resources":         {r.asserts(key, identity.TypeIDJAG, claimSet{"resource": []string{r.resource("notes"), r.resource("other")}}), "invalid_grant"},
		"no server of ours":     {r.asserts(key, identity.TypeIDJAG, claimSet{"resource": "https://other.example/mcp-connect/notes"}), "invalid_target"},
		"expired":               {r.asserts(key, identity.TypeIDJAG, claimSet{"exp": in(-2 * time.Minute)}), "invalid_grant"},
		"no expiry":             {r.asserts(key, identity.TypeIDJAG, claimSet{"exp": nil}), "invalid_grant"},
		"good for a day":        {r.asserts(key, identity.TypeIDJAG, claimSet{"exp": in(24 * time.Hour)}), "invalid_grant"},
		"not yet":               {r.asserts(key, identity.TypeIDJAG, claimSet{"nbf": in(2 * time.Minute)}), "invalid_grant"},
		"no id":                 {r.asserts(key, identity.TypeIDJAG, claimSet{"jti": nil}), "invalid_grant"},
		"a long id":             {r.asserts(key, identity.TypeIDJAG, claimSet{"jti": strings.Repeat("j", 257)}), "invalid_grant"},
		"nobody":                {r.asserts(key, identity.TypeIDJAG, claimSet{"sub": nil}), "invalid_grant"},
		"bound to a key":        {r.asserts(key, identity.TypeIDJAG, claimSet{"cnf": claimSet{"jkt": "x"}}), "invalid_grant"},
	} {
		if got := r.bring(deskID, tt.text); got.Error != tt.want || got.Access != "" || got.Status != 400 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	text := r.asserts(key, identity.TypeIDJAG, nil)
	if got := r.bring(deskID, text, "resource", r.resource("other")); got.Error != "invalid_target" {
		t.Errorf("for another resource: %+v", got)
	}
	if got := r.bring(agentID, text); got.Error != "unauthorized_client" {
		t.Errorf("by a client that may not: %+v", got)
	}
	if got := r.post("/token", url.Values{"grant_type": {client.GrantAssertion}, "assertion": {text}, "client_id": {deskID}}); got.Error != "invalid_client" {
		t.Errorf("without a credential: %+v", got)
	}
	if got := r.post("/token", url.Values{"grant_type": {client.GrantAssertion}, "assertion": {text}}); got.Error != "invalid_client" {
		t.Errorf("by nobody: %+v", got)
	}
	if got := r.post("/token", url.Values{"grant_type": {"client_credentials"}, "resource": {r.resource("notes")}},
		func(q *http.Request) { q.SetBasicAuth(deskID, agentSecret) }); got.Error != "unauthorized_client" {
		t.Errorf("for itself: %+v", got)
	}
	if got := r.bring(deskID, text); got.Status != 200 {
		t.Errorf("what was refused used it up: %+v", got)
	}
}
