package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// assertionType is the only kind of client assertion (RFC 7523 section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// maxAssertion is the longest time that an assertion may be good for, and so its id is remembered.
const maxAssertion = 10 * time.Minute

var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.PS256, jose.RS256, jose.EdDSA}

func assertionAlgorithms() (names []string) {
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	return names
}

func unproven(text string, basic bool) *failure {
	return &failure{status: http.StatusUnauthorized, code: "invalid_client", text: text, basic: basic}
}

// authenticate finds out which client asks at the token endpoint, and that it is that client (RFC 6749 section 2.3). A client
// proves itself in the way that it registered, and in no other.
func (s *server) authenticate(r *http.Request) (*client.Client, error) {
	form := r.PostForm
	id, secret, basic := r.BasicAuth()
	if basic { // RFC 6749 section 2.3.1: both halves are encoded as in a form
		var err, wrong error
		id, err = url.QueryUnescape(id)
		secret, wrong = url.QueryUnescape(secret)
		if err != nil || wrong != nil || form.Has("client_secret") || form.Has("client_assertion") || form.Has("client_id") && form.Get("client_id") != id {
			return nil, unproven("the client proves itself in two ways, or names two ids", true)
		}
	} else if len(r.Header["Authorization"]) > 0 {
		return nil, unproven("the only scheme here is Basic", true)
	}
	if form.Has("client_assertion") {
		return s.assertedClient(r)
	}
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	if id == "" {
		return nil, unproven("client_id is missing", basic)
	}
	c, err := s.clients.Find(r.Context(), id)
	if errors.Is(err, client.ErrUnknown) {
		return nil, unproven(err.Error(), basic)
	}
	if err != nil {
		return nil, err
	}
	good := false
	switch c.Auth {
	case client.AuthNone:
		good = secret == ""
	case client.AuthBasic, client.AuthPost: // the operator's clients may do either
		good = c.HasSecret(secret) && (basic == (c.Auth == client.AuthBasic) || c.Assured)
	}
	if !good {
		return nil, unproven("the client did not prove itself by "+c.Auth, basic)
	}
	return c, nil
}

// assertedClient takes a client that signs a statement for us (RFC 7523 section 3), each of them once.
func (s *server) assertedClient(r *http.Request) (*client.Client, error) {
	form := r.PostForm
	if form.Get("client_assertion_type") != assertionType || form.Has("client_secret") {
		return nil, unproven("client_assertion_type must be "+assertionType, false)
	}
	parsed, claims, err := readAssertion(form.Get("client_assertion"))
	if err != nil || claims.Issuer != claims.Subject || form.Has("client_id") && form.Get("client_id") != claims.Subject {
		return nil, unproven("client_assertion is no JWT of a client, with its id as iss and sub", false)
	}
	c, err := s.clients.Find(r.Context(), claims.Subject)
	if errors.Is(err, client.ErrUnknown) {
		return nil, unproven(err.Error(), false)
	}
	if err != nil {
		return nil, err
	}
	if c.Auth != client.AuthKeyJWT {
		return nil, unproven("the client did not prove itself by "+c.Auth, false)
	}
	if err := s.checkAssertion(claims); err != nil { // before anything is fetched for it
		return nil, err
	}
	if err := s.checkSignature(r, parsed, c); err != nil {
		return nil, err
	}
	return c, s.takeAssertion(r, claims)
}

// checkSignature takes what one of the client's keys signed, also one that it has had since we last looked.
func (s *server) checkSignature(r *http.Request, t *jwt.JSONWebToken, c *client.Client) error {
	for _, find := range []func(context.Context, *client.Client) (*jose.JSONWebKeySet, error){s.clients.Keys.Find, s.clients.Keys.Newer} {
		keys, err := find(r.Context(), c)
		if err != nil {
			return err
		}
		if signedBy(t, keys) {
			return nil
		}
	}
	return unproven("client_assertion is signed by none of the client's keys", false)
}

func readAssertion(text string) (*jwt.JSONWebToken, jwt.Claims, error) {
	var claims jwt.Claims
	if len(text) > 16<<10 {
		return nil, claims, errors.New("too long")
	}
	parsed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil, claims, err
	}
	return parsed, claims, parsed.UnsafeClaimsWithoutVerification(&claims)
}

// signedBy tells whether one of the keys signed it: the one that it names, or any where it names none.
func signedBy(t *jwt.JSONWebToken, keys *jose.JSONWebKeySet) bool {
	if keys == nil || len(t.Headers) != 1 {
		return false
	}
	for _, k := range keys.Keys {
		if id := t.Headers[0].KeyID; id != "" && k.KeyID != "" && k.KeyID != id || k.Algorithm != "" && k.Algorithm != t.Headers[0].Algorithm {
			continue
		}
		if t.Claims(k, &jwt.Claims{}) == nil {
			return true
		}
	}
	return false
}

// checkAssertion checks whom an assertion is for and when.
func (s *server) checkAssertion(c jwt.Claims) error {
	now := s.now()
	audience := len(c.Audience) == 1 && (c.Audience[0] == s.url || c.Audience[0] == s.url+"/" || c.Audience[0] == s.url+"/token")
	if !audience || c.Expiry == nil || c.Expiry.Time().After(now.Add(maxAssertion)) ||
		c.ValidateWithLeeway(jwt.Expected{Time: now}, 30*time.Second) != nil {
		return unproven("client_assertion is for somebody else (aud must be "+s.url+"), has expired, or is good for longer than 10 minutes", false)
	}
	if c.ID == "" || len(c.ID) > 256 {
		return unproven("client_assertion has no jti", false)
	}
	return nil
}

// takeAssertion takes an assertion once.
func (s *server) takeAssertion(r *http.Request, c jwt.Claims) error {
	name := store.Key{Part: "assertion/" + c.Subject, Sort: c.ID}
	if len(name.Part) > store.MaxKey {
		return unproven("the client's id is too long", false)
	}
	_, err := s.store.Put(r.Context(), store.Item{Key: name, Value: seal.Hash(c.ID), Expires: s.now().Add(2 * maxAssertion)})
	if errors.Is(err, store.ErrConflict) {
		return unproven("client_assertion was used before", false)
	}
	return err
}
