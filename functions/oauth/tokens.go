package main

import (
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
)

// tokens is the answer of the token endpoint (RFC 6749 section 5.1).
type tokens struct {
	Access  string `json:"access_token"`
	Issued  string `json:"issued_token_type,omitempty"` // RFC 8693 section 2.2.1
	Type    string `json:"token_type"`
	Life    int    `json:"expires_in"` // seconds
	Refresh string `json:"refresh_token,omitempty"`
	Scope   string `json:"scope"`
}

// readForm reads the body of a request to the token endpoint and those like it.
func readForm(r *http.Request) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		return bad("invalid_request", "send a form in the body, and nothing in the URL")
	}
	if r.ParseForm() != nil {
		return bad("invalid_request", "the body is no form, or longer than 64 KiB")
	}
	return onlyOnce(r.PostForm, "resource")
}

// serveToken is the token endpoint (OAuth 2.1 section 3.2).
func (s *server) serveToken(w http.ResponseWriter, r *http.Request) {
	answer, err := s.giveTokens(r)
	if err != nil {
		s.write(w, err)
		return
	}
	w.Header().Set("Pragma", "no-cache") // RFC 6749 section 5.1
	writeJSON(w, http.StatusOK, answer)
}

func (s *server) giveTokens(r *http.Request) (tokens, error) {
	if err := readForm(r); err != nil {
		return tokens{}, err
	}
	c, err := s.authenticate(r)
	if err != nil {
		return tokens{}, err
	}
	kind := r.PostForm.Get("grant_type")
	switch {
	case kind == "":
		return tokens{}, bad("invalid_request", "grant_type is missing")
	case !slices.Contains(client.Grants(), kind):
		return tokens{}, bad("unsupported_grant_type", "grant_type is none of those in the metadata")
	case !c.May(kind):
		return tokens{}, bad("unauthorized_client", "this client may not use this grant_type")
	case kind == client.GrantCredentials:
		return s.giveAgent(r, c)
	case kind == client.GrantExchange:
		return s.exchange(r, c)
	case kind == client.GrantAssertion:
		return s.giveAsserted(r, c)
	}
	return s.givePerson(r, c, kind)
}

// givePerson gives tokens for a person, by a code or a refresh token.
func (s *server) givePerson(r *http.Request, c *client.Client, kind string) (tokens, error) {
	form := r.PostForm
	resource := ""
	// A parameter without a value is none (RFC 6749 section 3.1).
	if asked := slices.DeleteFunc(slices.Clone(form["resource"]), func(v string) bool { return v == "" }); len(asked) > 0 {
		var err error
		if resource, err = s.findResource(asked, ""); err != nil {
			return tokens{}, err
		}
	}
	var g grant.Grant
	var refresh string
	var err error
	if kind == client.GrantCode {
		g, refresh, err = s.grants.Redeem(r.Context(), form.Get("code"), c.ID, form.Get("redirect_uri"), form.Get("code_verifier"), resource)
	} else {
		g, refresh, err = s.grants.Refresh(r.Context(), form.Get("refresh_token"), c.ID, resource)
	}
	if err != nil {
		return tokens{}, err
	}
	if err := s.clients.Registered.Used(r.Context(), c); err != nil {
		s.log.Warn("registration not renewed", "client", c.ID, "error", err) // the token before is spent: the answer must go out
	}
	return s.sign(r, token.Access{Subject: identity.QualifiedSubject(g.Person.Issuer, g.Person.Subject), Audience: g.Resource, Client: c.ID,
		Groups: g.Groups, Scope: g.Scope, SignedIn: g.SignedIn}, token.Life, refresh)
}

// giveAgent gives a token to a client for itself (RFC 6749 section 4.4), without a refresh token.
func (s *server) giveAgent(r *http.Request, c *client.Client) (tokens, error) {
	resource, err := s.findResource(r.PostForm["resource"], "")
	if err != nil {
		return tokens{}, err
	}
	a := token.Access{Subject: c.ID, Audience: resource, Client: c.ID, Scope: scopeMCP}
	if c.Shim != "" {
		if a.FilterDepth, err = s.filterDepth(r, c, resource); err != nil {
			return tokens{}, err
		}
	}
	return s.sign(r, a, token.Life, "")
}

// filterDepth is how many filters are asked at the same time when a shim uses its token. The token must be for a server that is
// a filter of the shim's own: with its credential nothing else can be called.
func (s *server) filterDepth(r *http.Request, c *client.Client, resource string) (int, error) {
	v := s.documents.Load()
	asked, _ := v.Platform.ServerAt(resource)
	if !v.Catalog.FiltersBy(c.Shim, asked) {
		return 0, bad("invalid_target", "resource is no server that is a filter of this client's")
	}
	text := r.PostForm.Get(rules.FilterDepth)
	if text == "" {
		return 1, nil
	}
	depth, err := strconv.Atoi(text)
	if err != nil || depth < 1 || depth > rules.MaxFilterDepth {
		return 0, bad("invalid_request", rules.FilterDepth+" must be a number from 1 to "+strconv.Itoa(rules.MaxFilterDepth)+": filters ask each other in a cycle")
	}
	return depth, nil
}

func (s *server) sign(r *http.Request, a token.Access, life time.Duration, refresh string) (tokens, error) {
	a.Issuer = s.url
	text, err := s.keys.Sign(r.Context(), a, life)
	return tokens{Access: text, Type: "Bearer", Life: int(life.Seconds()), Refresh: refresh, Scope: a.Scope}, err
}

// serveRevoke ends the grant of a refresh token (RFC 7009). An access token cannot be called back, and ends by itself.
func (s *server) serveRevoke(w http.ResponseWriter, r *http.Request) {
	err := readForm(r)
	var c *client.Client
	if err == nil {
		c, err = s.authenticate(r)
	}
	if err == nil && r.PostForm.Get("token") == "" {
		err = bad("invalid_request", "token is missing")
	}
	if err == nil {
		if _, wrong := s.keys.Verify(r.Context(), s.url, r.PostForm.Get("token")); wrong == nil {
			err = bad("unsupported_token_type", "an access token ends by itself, within ten minutes: revoke its refresh token")
		}
	}
	if err == nil {
		err = s.grants.Revoke(r.Context(), r.PostForm.Get("token"), c.ID)
	}
	if err != nil {
		s.write(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// serveIntrospect tells a client with a credential about a token (RFC 7662): a refresh token must be its own.
func (s *server) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	err := readForm(r)
	var c *client.Client
	if err == nil {
		c, err = s.authenticate(r)
	}
	if err == nil && c.Auth == client.AuthNone {
		err = unproven("only clients with a credential may ask", false)
	}
	if err == nil && r.PostForm.Get("token") == "" {
		err = bad("invalid_request", "token is missing")
	}
	var answer map[string]any
	if err == nil {
		answer, err = s.describe(r, c, r.PostForm.Get("token"))
	}
	if err != nil {
		s.write(w, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// describe says what there is to say of a token. Whatever is wrong with one is the same answer.
func (s *server) describe(r *http.Request, c *client.Client, text string) (map[string]any, error) {
	a, err := s.keys.Verify(r.Context(), s.url, text)
	if err == nil {
		return map[string]any{"active": true, "token_type": "Bearer", "iss": a.Issuer, "sub": a.Subject, "aud": a.Audience, "client_id": a.Client,
			"scope": a.Scope, "exp": a.Expires.Unix(), "jti": a.ID}, nil
	}
	if !errors.Is(err, token.ErrInvalid) {
		return nil, err
	}
	g, ends, err := s.grants.Find(r.Context(), text)
	if errors.Is(err, grant.ErrInvalid) || err == nil && g.Client != c.ID {
		return map[string]any{"active": false}, nil
	}
	return map[string]any{"active": true, "iss": s.url, "sub": identity.QualifiedSubject(g.Person.Issuer, g.Person.Subject), "aud": g.Resource,
		"client_id": g.Client, "scope": g.Scope, "exp": ends.Unix()}, err
}
