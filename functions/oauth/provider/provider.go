// Package provider signs people in at the organisation's OpenID provider, and asks it later whether that still holds.
//
// It is the client there that the operator registered. It keeps nothing: what must be remembered is a Session, which whoever
// has it keeps secret.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"mcpgateway/internal/secret"
)

// ErrRefused says that the provider was asked and does not let the person on: disabled, signed out, consent withdrawn.
var ErrRefused = errors.New("the identity provider refuses")

// ErrUnavailable says that the provider could not be asked, or does not know us.
var ErrUnavailable = errors.New("the identity provider cannot be asked now")

// ErrGroups says that the provider left the groups out: nobody could tell then whom a policy denies.
var ErrGroups = errors.New("the identity provider left the groups out because there are too many: have it send only those that are needed")

// Bounds of what the provider may send, and take.
const (
	maxBody     = 512 << 10 // bytes
	timeout     = 10 * time.Second
	maxSubject  = 255
	maxGroups   = 1000
	maxGroup    = 256
	refetchDocs = time.Hour // the discovery document
)

// Config is what the operator says of the provider.
type Config struct {
	URL         string
	ClientID    string
	Secret      secret.Text // empty: a public client
	RedirectURL string
	Scopes      []string
	Prompt      string // may be empty
	GroupsClaim string
	Now         func() time.Time
}

// Provider is the provider. It is safe for concurrent use.
type Provider struct {
	Config
	client *http.Client

	mu      sync.Mutex
	known   *oidc.Provider
	fetched time.Time
}

// Session is somebody who is signed in there.
type Session struct {
	Subject string
	Name    string // to show; may be empty
	Groups  []string
	// Refresh and Access are the provider's tokens, as far as it gave any.
	Refresh, Access string
	AccessEnds      time.Time
}

// New makes a Provider. It contacts nobody.
func New(c Config) *Provider {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = 64 << 10
	return &Provider{Config: c, client: &http.Client{Transport: bounded{t}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// bounded ends bodies with an error after maxBody bytes.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
	}
	return resp, err
}

// discover returns what the provider says of itself, read anew now and then. The document's issuer must be ours byte for
// byte, which go-oidc checks.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, context.Context, error) {
	ctx = oidc.ClientContext(ctx, p.client)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil && p.Now().Sub(p.fetched) < refetchDocs {
		return p.known, ctx, nil
	}
	// The provider keeps this context, for fetching keys: it must not end with the request.
	found, err := oidc.NewProvider(context.WithoutCancel(ctx), p.URL)
	switch {
	case err == nil:
		p.known, p.fetched = found, p.Now()
	case p.known == nil:
		return nil, ctx, fmt.Errorf("%w: read discovery document: %w", ErrUnavailable, err)
	}
	return p.known, ctx, nil
}

func (p *Provider) oauth(found *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.Secret.Reveal(), Endpoint: found.Endpoint(), RedirectURL: p.RedirectURL, Scopes: p.Scopes}
}

// SignInURL is where the browser goes. verifier is the PKCE verifier (RFC 7636), which stays here.
func (p *Provider) SignInURL(ctx context.Context, state, nonce, verifier string) (string, error) {
	found, _, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if p.Prompt != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", p.Prompt))
	}
	return p.oauth(found).AuthCodeURL(state, options...), nil
}

// Sent tells whether an answer that the browser brought is this provider's (RFC 9207 section 2.4). One that names another is
// not, nor is one that names nobody where the provider says that it always names itself.
func (p *Provider) Sent(ctx context.Context, answer url.Values) (bool, error) {
	if answer.Has("iss") {
		return answer.Get("iss") == p.URL, nil
	}
	found, _, err := p.discover(ctx)
	if err != nil {
		return false, err
	}
	var metadata struct {
		Named bool `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&metadata); err != nil {
		return false, fmt.Errorf("%w: read discovery document: %w", ErrUnavailable, err)
	}
	return !metadata.Named, nil
}

// Redeem turns the code that the browser brought back into a session.
func (p *Provider) Redeem(ctx context.Context, code, verifier, nonce string) (Session, error) {
	found, ctx, err := p.discover(ctx)
	if err != nil {
		return Session{}, err
	}
	t, err := p.oauth(found).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return Session{}, classify(err)
	}
	raw, _ := t.Extra("id_token").(string)
	id, err := p.verify(ctx, found, raw)
	if err != nil {
		return Session{}, fmt.Errorf("%w: ID token: %w", ErrRefused, err)
	}
	if id.Nonce != nonce {
		return Session{}, fmt.Errorf("%w: the ID token is of another sign-in", ErrRefused)
	}
	return p.session(ctx, found, id, t)
}

func (p *Provider) verify(ctx context.Context, found *oidc.Provider, raw string) (*oidc.IDToken, error) {
	return found.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID, Now: p.Now}).Verify(ctx, raw)
}

// Renew asks whether a session still holds, and with which groups: by its refresh token, or else by its access token as long
// as that is valid. asked is false where there is neither: nothing is known then that was not before.
func (p *Provider) Renew(ctx context.Context, s Session) (renewed Session, asked bool, err error) {
	if s.Refresh == "" && (s.Access == "" || !p.Now().Before(s.AccessEnds)) {
		return s, false, nil
	}
	found, ctx, err := p.discover(ctx)
	if err != nil {
		return s, false, err
	}
	t := &oauth2.Token{AccessToken: s.Access, TokenType: "Bearer", Expiry: s.AccessEnds}
	var id *oidc.IDToken
	if s.Refresh != "" {
		t, err = p.oauth(found).TokenSource(ctx, &oauth2.Token{RefreshToken: s.Refresh}).Token()
		if err != nil {
			return s, false, classify(err)
		}
		if raw, _ := t.Extra("id_token").(string); raw != "" {
			if id, err = p.verify(ctx, found, raw); err != nil {
				return s, false, fmt.Errorf("%w: ID token: %w", ErrRefused, err)
			}
		}
	}
	renewed, err = p.session(ctx, found, id, t)
	if err == nil && renewed.Subject != s.Subject { // OpenID Connect Core section 12.2
		err = fmt.Errorf("%w: it names somebody else", ErrRefused)
	}
	return renewed, err == nil, err
}

// session reads who it is and the groups, from the ID token and, where that does not name groups, the userinfo endpoint.
func (p *Provider) session(ctx context.Context, found *oidc.Provider, id *oidc.IDToken, t *oauth2.Token) (Session, error) {
	claims := map[string]json.RawMessage{}
	if id != nil {
		if err := id.Claims(&claims); err != nil {
			return Session{}, fmt.Errorf("%w: ID token: %w", ErrRefused, err)
		}
	}
	if _, named := claims[p.GroupsClaim]; !named && found.UserInfoEndpoint() != "" {
		more, err := p.userInfo(ctx, found.UserInfoEndpoint(), t)
		if err != nil {
			return Session{}, err
		}
		// OpenID Connect Core section 5.3.2: else it may be somebody else's.
		if id != nil && string(more["sub"]) != string(claims["sub"]) {
			return Session{}, fmt.Errorf("%w: userinfo is of somebody else", ErrRefused)
		}
		for name, value := range claims {
			if _, newer := more[name]; !newer {
				more[name] = value
			}
		}
		claims = more
	}
	s := Session{Refresh: t.RefreshToken, Access: t.AccessToken, AccessEnds: t.Expiry}
	var err error
	if s.Subject, err = text(claims["sub"], maxSubject); err != nil || s.Subject == "" {
		return Session{}, fmt.Errorf("%w: it names nobody", ErrRefused)
	}
	for _, name := range []string{"name", "preferred_username", "email"} {
		if s.Name == "" {
			s.Name, _ = text(claims[name], maxGroup) // to show; without one the subject is shown
		}
	}
	s.Groups, err = p.groups(claims)
	return s, err
}

// userInfo asks the userinfo endpoint (OpenID Connect Core section 5.3).
func (p *Provider) userInfo(ctx context.Context, address string, t *oauth2.Token) (map[string]json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrUnavailable, err)
	}
	req.Header.Set("Authorization", "Bearer "+t.AccessToken)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%w: userinfo answers %s", ErrRefused, resp.Status)
	default:
		return nil, fmt.Errorf("%w: userinfo answers %s", ErrUnavailable, resp.Status)
	}
	claims := map[string]json.RawMessage{}
	data, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(data, &claims)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrUnavailable, err)
	}
	return claims, nil
}

// classify tells a refusal from a provider that is down. That it does not know us, its client, is nobody's refusal: the
// operator must mend it, and until then nobody is signed out.
func classify(err error) error {
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode/100 == 4 && answer.ErrorCode != "" &&
		!slices.Contains([]string{"invalid_client", "unauthorized_client", "temporarily_unavailable", "server_error", "slow_down"}, answer.ErrorCode) &&
		!slices.Contains([]int{http.StatusRequestTimeout, http.StatusTooManyRequests}, answer.Response.StatusCode) {
		return fmt.Errorf("%w: %.100q", ErrRefused, answer.ErrorCode)
	}
	if answer != nil && answer.Response != nil {
		return fmt.Errorf("%w: its token endpoint answers %s %.100q", ErrUnavailable, answer.Response.Status, answer.ErrorCode)
	}
	return fmt.Errorf("%w: its token endpoint: %w", ErrUnavailable, err)
}
