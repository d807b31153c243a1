package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/apikey"
	"mcpgateway/internal/identity"
)

// The token types of RFC 8693 section 3 that there are here: an access token of ours is a JWT.
const (
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	typeKey    = apikey.TokenType
)

// exchange gives a client a token in place of another's (RFC 8693): its own credential says which ones it may bring, and what
// for. It is good for no longer than the one that was brought.
func (s *server) exchange(r *http.Request, c *client.Client) (tokens, error) {
	if err := checkExchange(r.PostForm, c); err != nil {
		return tokens{}, err
	}
	if c.Exchange.Account != "" {
		return s.forAccount(r, c)
	}
	give := s.fromShared
	switch {
	case c.Exchange.Keys:
		give = s.fromKey
	case c.Exchange.Server != "":
		give = s.forServer
	}
	a, err := give(r, c)
	if err != nil {
		return tokens{}, err
	}
	life := min(token.Life, a.Expires.Sub(s.now())).Truncate(time.Second)
	if life <= 0 {
		return tokens{}, bad("invalid_request", "subject_token has expired")
	}
	answer, err := s.sign(r, a, life, "")
	answer.Issued = typeAccess
	if kind := r.PostForm.Get("requested_token_type"); kind != "" {
		answer.Issued = kind
	}
	if err == nil {
		s.log.Info("exchanged", "client", a.Client, "subject", a.Subject, "audience", a.Audience)
	}
	return answer, err
}

// checkExchange refuses what no client may send.
func checkExchange(form url.Values, c *client.Client) error {
	brought := []string{typeAccess, typeJWT}
	if c.Exchange.Keys {
		brought = []string{typeKey}
	}
	wanted := form.Get("requested_token_type")
	switch {
	case !slices.Contains(brought, form.Get("subject_token_type")):
		return bad("invalid_request", "subject_token_type must be "+strings.Join(brought, " or "))
	case wanted != "" && wanted != typeAccess && wanted != typeJWT:
		return bad("invalid_request", "requested_token_type must be "+typeAccess+" or "+typeJWT)
	case form.Get("subject_token") == "":
		return bad("invalid_request", "subject_token is missing")
	case form.Has("actor_token") || form.Has("actor_token_type"):
		return bad("invalid_request", "who acts is the client, which has proven itself: leave actor_token out")
	}
	return nil
}

// forServer is what the shim of a server gets for a caller's token: one for what is behind that server. The token must be one
// that the server takes, or else it could be had by who was never called with it. It says that the shim acts.
func (s *server) forServer(r *http.Request, c *client.Client) (a token.Access, err error) {
	target, err := oneTarget(r, c.Exchange.Audiences)
	if err == nil {
		a, err = s.caller(r, c)
	}
	if err != nil {
		return a, err
	}
	a.Audience, a.Scope, a.Client = target, scopeMCP, c.ID
	a.Actor, err = json.Marshal(token.Actor{Issuer: s.url, Subject: c.ID, Before: a.Actor})
	return a, err
}

// caller reads the token of a caller of the client's server.
func (s *server) caller(r *http.Request, c *client.Client) (a token.Access, err error) {
	text, resources := r.PostForm.Get("subject_token"), s.documents.Load().Platform.Resources(c.Exchange.Server)
	a, err = s.keys.Verify(r.Context(), s.url, text)
	switch {
	case errors.Is(err, token.ErrInvalid):
		a, err = verified(r, s.view.Load().callers, text, resources)
	case err == nil && !slices.Contains(resources, a.Audience):
		err = bad("invalid_request", "subject_token is for another server than this client's")
	}
	return a, err
}

// fromShared is what a client gets for a token of the provider's that is for all servers: one for the server that it names.
func (s *server) fromShared(r *http.Request, c *client.Client) (a token.Access, err error) {
	form := r.PostForm
	target, err := s.findResource(append(slices.Clone(form["resource"]), form["audience"]...), "")
	if err != nil {
		return a, err
	}
	a, err = verified(r, s.shared[c.ID], form.Get("subject_token"), nil)
	a.Audience, a.Scope, a.Client = target, scopeMCP, c.ID
	return a, err
}

// oneTarget is what a token is asked for: one of those allowed, which may be left out where it is the only one. Two at once are
// refused, since either could take the token to the other (RFC 8693 section 2.1).
func oneTarget(r *http.Request, allowed []string) (string, error) {
	asked := append(slices.Clone(r.PostForm["resource"]), r.PostForm["audience"]...)
	switch {
	case len(asked) == 0 && len(allowed) == 1:
		return allowed[0], nil
	case len(asked) == 1 && slices.Contains(allowed, asked[0]):
		return asked[0], nil
	}
	return "", bad("invalid_target", "name one audience or resource, of those that this client's exchange.audiences has")
}

// verified reads another issuer's token, for its subject to be named as that issuer's.
func verified(r *http.Request, by *identity.Verifier, text string, resources []string) (token.Access, error) {
	id, err := by.Verify(r.Context(), text, resources)
	switch {
	case errors.Is(err, identity.ErrUnavailable):
		return token.Access{}, err // it may be good later
	case err != nil:
		return token.Access{}, &failure{status: http.StatusBadRequest, code: "invalid_request", text: "subject_token: " + err.Error()}
	}
	a := token.Access{Subject: identity.QualifiedSubject(id.Issuer, id.Subject), Groups: id.Groups, Expires: id.Expiry}
	if id.Actor != "" {
		a.Actor = json.RawMessage(id.Actor)
	}
	return a, nil
}
