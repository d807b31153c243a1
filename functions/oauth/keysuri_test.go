package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/functions/oauth/client"
)

// robotHost is a network with one host, where clients have their documents and keys.
type robotHost struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	id      string // of the key
	fetched int    // how often its keys were
	refuses bool
}

func (h *robotHost) rotate(id string) {
	h.t.Helper()
	var err error
	if h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		h.t.Fatal(err)
	}
	h.id = id
}

func (h *robotHost) RoundTrip(r *http.Request) (*http.Response, error) {
	body := fmt.Sprintf(`{"client_id":"https://robot.example/client","redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":%q}`, robotKeys)
	status := http.StatusOK
	if r.URL.String() == robotKeys {
		h.fetched++
		set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: h.key.Public(), KeyID: h.id}}})
		body = string(set)
		if h.refuses {
			status = http.StatusInternalServerError
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// sign makes a client's assertion with the key that is published now.
func (h *robotHost) sign(r *rig, id string) string {
	h.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: h.key, KeyID: h.id}}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: id, Subject: id, Audience: jwt.Audience{r.url}, ID: r.random(), Expiry: jwt.NewNumericDate(r.now().Add(time.Minute))}).Serialize()
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

const robotKeys = "https://robot.example/keys"

func newRobotHost(t *testing.T, r *rig) *robotHost {
	t.Helper()
	h := &robotHost{t: t}
	h.rotate("1")
	r.server.clients.Documents = client.NewDocuments(r.now, h)
	r.server.clients.Keys = client.NewKeySets(r.now, h)
	return h
}

// A client of each kind may have its keys elsewhere, and change them there.
func TestKeysAreFetched(t *testing.T) {
	r := newRig(t, twoServers)
	r.edit("secret: robot}", "keysURL: '"+robotKeys+"'}")
	h := newRobotHost(t, r)
	status, registered := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"` + robotKeys + `"}`)
	if status != 201 || registered["jwks_uri"] != robotKeys || registered["jwks"] != nil {
		t.Fatalf("%d %v", status, registered)
	}
	asks := map[string]func() answered{"static": func() answered { return r.assert(h.sign(r, agentID)) }}
	for name, id := range map[string]string{"registered": registered["client_id"].(string), "documented": "https://robot.example/client"} {
		asks[name] = func() answered {
			code := r.code(r.request(id, "http://127.0.0.1/cb"), "alice").Get("code")
			return r.post("/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"http://127.0.0.1/cb"}, "code_verifier": {verifier},
				"client_assertion_type": {assertionType}, "client_assertion": {h.sign(r, id)}})
		}
	}
	for name, ask := range asks {
		h.rotate(name)
		r.pass(time.Minute) // before, they are not looked for again
		if a := ask(); a.Status != 200 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if h.fetched != len(asks) {
		t.Errorf("fetched %d times", h.fetched)
	}
}

// Forged assertions have nobody's keys fetched again and again, and those that are no good for us none at all.
func TestForgedAssertionsFetchNothing(t *testing.T) {
	r := newRig(t, twoServers)
	r.edit("secret: robot}", "keysURL: '"+robotKeys+"'}")
	h := newRobotHost(t, r)
	late := h.sign(r, agentID)
	r.pass(5 * time.Minute)
	if a := r.assert(late); a.Status != 401 || h.fetched != 0 {
		t.Errorf("expired: %+v, fetched %d times", a, h.fetched)
	}
	if a := r.assert(h.sign(r, agentID)); a.Status != 200 || h.fetched != 1 {
		t.Errorf("a good one: %+v, fetched %d times", a, h.fetched)
	}
	forger := &robotHost{t: t}
	for n := range 5 {
		forger.rotate(fmt.Sprint(n))
		if a := r.assert(forger.sign(r, agentID)); a.Status != 401 || a.Error != "invalid_client" {
			t.Errorf("%+v", a)
		}
	}
	if h.fetched != 1 {
		t.Errorf("fetched %d times", h.fetched)
	}
	r.pass(time.Minute)
	for range 5 {
		r.assert(forger.sign(r, agentID))
	}
	if h.fetched != 2 {
		t.Errorf("a minute later fetched %d times", h.fetched)
	}
	h.refuses = true
	r.pass(25 * time.Hour)
	if a := r.assert(h.sign(r, agentID)); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("keys that cannot be had: %+v", a)
	}
}
