package upstream

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/secret"
)

const (
	maxToken = 16 << 10 // bytes
	unsaid   = 10 * time.Minute
	maxLife  = 24 * time.Hour // what is said beyond is not believed
)

// Tokens are what an authorization server gave for a person.
type Tokens struct {
	Access  secret.Text
	Refresh secret.Text // empty where it gave none
	Life    time.Duration
	Scope   string // empty where it does not say
}

// Start is a sign-in that begins.
type Start struct {
	Issuer string // whose answer it must be
	Client string // as whom we ask
}

// SignInURL is where the browser goes to begin a sign-in. challenge is that of PKCE, by S256.
func (s *Server) SignInURL(ctx context.Context, state, challenge string) (string, Start, error) {
	m, err := s.Find(ctx)
	if err != nil {
		return "", Start{}, err
	}
	c, err := s.registered(ctx, m)
	if err != nil {
		return "", Start{}, err
	}
	u, err := url.Parse(m.Authorize)
	if err != nil {
		return "", Start{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	q := u.Query() // RFC 6749 section 3.1: it may have some, which stays
	for name, value := range map[string]string{"response_type": "code", "client_id": c.ID, "redirect_uri": s.Redirect, "state": state,
		"code_challenge": challenge, "code_challenge_method": "S256", "resource": s.Resource, "scope": strings.Join(m.asked, " ")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if slices.Contains(m.asked, offline) {
		q.Set("prompt", "consent") // OpenID Connect Core section 11: else it is ignored
	}
	u.RawQuery = q.Encode()
	return u.String(), Start{Issuer: m.Issuer, Client: c.ID}, nil
}

// Sent tells whether an answer that the browser brought is an issuer's (RFC 9207 section 2.4): one that names another is not,
// nor is one that names nobody where the issuer says that it always names itself.
func (s *Server) Sent(ctx context.Context, issuer string, answer url.Values) (bool, error) {
	if answer.Has("iss") {
		return answer.Get("iss") == issuer, nil
	}
	m, err := s.at(ctx, issuer)
	return err == nil && !m.Named, err
}

// Redeem turns a code into tokens.
func (s *Server) Redeem(ctx context.Context, start Start, code, verifier string) (Tokens, error) {
	return s.grant(ctx, start.Issuer, start.Client, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.Redirect},
		"code_verifier": {verifier}, "resource": {s.Resource}})
}

// Refresh turns a refresh token into new tokens. Where the issuer gives no new one the old one stays.
func (s *Server) Refresh(ctx context.Context, issuer, id string, refresh secret.Text) (Tokens, error) {
	t, err := s.grant(ctx, issuer, id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}, "resource": {s.Resource}})
	if err == nil && t.Refresh.Empty() {
		t.Refresh = refresh
	}
	return t, err
}

// grant asks an issuer's token endpoint, as the client that the tokens are for.
func (s *Server) grant(ctx context.Context, issuer, id string, form url.Values) (Tokens, error) {
	m, err := s.at(ctx, issuer)
	if err != nil {
		return Tokens{}, err
	}
	a, err := s.send(ctx, m, m.Token, id, form)
	if err != nil {
		return Tokens{}, err
	}
	if a.status != http.StatusOK {
		return Tokens{}, s.classify(ctx, m, id, a)
	}
	t, err := parseTokens(a.body)
	if err != nil {
		err = fmt.Errorf("%w: token endpoint: %w", ErrUnavailable, err)
	}
	return t, err
}

// Revoke ends tokens where that is offered (RFC 7009): by the refresh token, with which the others end, or else the access token.
func (s *Server) Revoke(ctx context.Context, issuer, id string, t Tokens) error {
	m, err := s.at(ctx, issuer)
	if err != nil || m.Revoke == "" {
		return err
	}
	form := url.Values{"token": {t.Refresh.Reveal()}, "token_type_hint": {"refresh_token"}}
	if t.Refresh.Empty() {
		form = url.Values{"token": {t.Access.Reveal()}, "token_type_hint": {"access_token"}}
	}
	a, err := s.send(ctx, m, m.Revoke, id, form)
	if err == nil && a.status != http.StatusOK {
		err = s.classify(ctx, m, id, a)
	}
	return err
}

// send sends a form, as a client (RFC 6749 section 2.3.1).
func (s *Server) send(ctx context.Context, m *Metadata, address, id string, form url.Values) (answer, error) {
	c, err := s.registered(ctx, m)
	if err != nil {
		return answer{}, err
	}
	if c.ID != id {
		return answer{}, fmt.Errorf("%w: the tokens are another client's than ours is now", ErrRefused)
	}
	h := http.Header{}
	switch c.Auth {
	case client.AuthBasic:
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(c.Secret.Reveal()))))
	case client.AuthPost:
		form.Set("client_secret", c.Secret.Reveal())
		fallthrough
	default:
		form.Set("client_id", c.ID)
	}
	return s.post(ctx, address, "application/x-www-form-urlencoded", form.Encode(), h)
}

// refusal is an error response (RFC 6749 section 5.2).
type refusal struct {
	status int
	code   string
}

func (r refusal) Error() string { return fmt.Sprintf("it answers %d %.100q", r.status, r.code) }

// readError reads an error response. Its texts may hold anything, so only the code is kept.
func readError(a answer) refusal {
	var e struct {
		Code string `json:"error"`
	}
	_ = parseObject(a.body, &e) // without one there is the status
	return refusal{a.status, e.Code}
}

// transient are the codes that say nothing of the person's tokens (RFC 6749 sections 4.1.2.1 and 5.2).
var transient = []string{"", "invalid_client", "unauthorized_client", "temporarily_unavailable", "server_error", "slow_down"}

// classify tells a refusal from an authorization server that is down, or does not know us. A registration that it does not know
// is forgotten: the next sign-in begins with a new one.
func (s *Server) classify(ctx context.Context, m *Metadata, id string, a answer) error {
	r := readError(a)
	if a.status/100 == 4 && a.status != http.StatusRequestTimeout && a.status != http.StatusTooManyRequests && !slices.Contains(transient, r.code) {
		return fmt.Errorf("%w: %w", ErrRefused, r)
	}
	if r.code != "invalid_client" {
		return fmt.Errorf("%w: %w", ErrUnavailable, r)
	}
	c, have, err := s.Registrations.Find(ctx, s.Server, m.Issuer)
	if err == nil && have && c.ID == id {
		err = s.Registrations.Forget(ctx, s.Server, m.Issuer, c)
		return errors.Join(fmt.Errorf("%w: %w: %w", ErrRefused, errClient, r), err) // tokens end with their client
	}
	return errors.Join(fmt.Errorf("%w: %w: %w", ErrUnavailable, errClient, r), err)
}

// bearer is what a token may be made of (RFC 6750 section 2.1), so that it can be nothing else in a header.
var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// parseTokens reads a token response (RFC 6749 section 5.1).
func parseTokens(body []byte) (Tokens, error) {
	var m struct {
		Access  string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Life    json.RawMessage `json:"expires_in"`
		Refresh string          `json:"refresh_token"`
		Scope   string          `json:"scope"`
	}
	if err := parseObject(body, &m); err != nil {
		return Tokens{}, err
	}
	switch {
	case len(m.Access) > maxToken || !bearer.MatchString(m.Access):
		return Tokens{}, errors.New("access_token is missing, too long, or holds what no bearer token may")
	case !strings.EqualFold(m.Type, "bearer"):
		return Tokens{}, fmt.Errorf("token_type is %.40q, and only Bearer is supported", m.Type)
	case !sendable(m.Refresh, maxToken):
		return Tokens{}, errors.New("refresh_token is too long, or no printable text")
	}
	life, err := lifetime(m.Life)
	if err != nil {
		return Tokens{}, err
	}
	if !sendable(m.Scope, maxScope*maxScopes) {
		m.Scope = ""
	}
	t := Tokens{Access: secret.New(m.Access), Life: life, Scope: m.Scope}
	if m.Refresh != "" {
		t.Refresh = secret.New(m.Refresh)
	}
	return t, nil
}

// lifetime reads expires_in: seconds, as a number, or as the text that some write.
func lifetime(raw json.RawMessage) (time.Duration, error) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return unsaid, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(seconds, 0) || math.IsNaN(seconds) || seconds <= 0 {
		return 0, errors.New("expires_in is no number above 0")
	}
	return time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second)), nil
}
