package main

import (
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/store"
)

// maxIDJAG is how long an identity assertion may be good for: it is used at once, and remembered for so long.
const maxIDJAG = time.Hour

// giveAsserted gives a client a token for whom the provider says that it may act for, by an identity assertion for this server,
// this client and one resource (RFC 7523 section 2.1, draft-ietf-oauth-identity-assertion-authz-grant). There is no refresh
// token: the provider is to be asked each time.
func (s *server) giveAsserted(r *http.Request, c *client.Client) (tokens, error) {
	text := r.PostForm.Get("assertion")
	id, err := s.asserted.Verify(r.Context(), text, nil)
	switch {
	case errors.Is(err, identity.ErrUnavailable):
		return tokens{}, err
	case err != nil:
		return tokens{}, refusedAssertion(err.Error())
	}
	resource, err := s.assertedResource(r, c, text)
	if err != nil {
		return tokens{}, err
	}
	if err := s.takeIDJAG(r, text); err != nil {
		return tokens{}, err
	}
	s.log.Info("asserted", "client", c.ID, "resource", resource, "subject", id.Subject)
	return s.sign(r, token.Access{Subject: identity.QualifiedSubject(id.Issuer, id.Subject), Audience: resource, Client: c.ID, Groups: id.Groups,
		Scope: scopeMCP}, token.Life, "")
}

func refusedAssertion(text string) *failure { return bad("invalid_grant", "assertion: "+text) }

// assertedResource is the server that a verified assertion is for. It must be this client's: another could have found it.
func (s *server) assertedResource(r *http.Request, c *client.Client, text string) (string, error) {
	if of, err := identity.Claim(text, "client_id"); err != nil || of != c.ID {
		return "", refusedAssertion("client_id is another client's")
	}
	resource, err := identity.Claim(text, "resource")
	if err != nil {
		return "", refusedAssertion("resource must name one server's URL")
	}
	asked := r.PostForm["resource"]
	if len(asked) > 1 || len(asked) == 1 && asked[0] != "" && asked[0] != resource {
		return "", bad("invalid_target", "resource is another server than the assertion is for")
	}
	return s.findResource([]string{resource}, "")
}

// takeIDJAG takes an assertion that is for this server alone, once.
func (s *server) takeIDJAG(r *http.Request, text string) error {
	_, c, err := readAssertion(text)
	switch {
	case err != nil:
		return refusedAssertion("its signing algorithm is not accepted")
	case len(c.Audience) != 1:
		return refusedAssertion("aud must be " + s.url + " alone")
	case c.Expiry.Time().After(s.now().Add(maxIDJAG)):
		return refusedAssertion("it is good for longer than an hour")
	case c.ID == "" || len(c.ID) > 256:
		return refusedAssertion("it has no jti")
	}
	name := store.Key{Part: "id-jag/" + base64.RawURLEncoding.EncodeToString(seal.Hash(c.ID)), Sort: "used"}
	_, err = s.store.Put(r.Context(), store.Item{Key: name, Value: seal.Hash(text), Expires: c.Expiry.Time().Add(2 * time.Minute)})
	if errors.Is(err, store.ErrConflict) {
		return refusedAssertion("it was used before")
	}
	return err
}
