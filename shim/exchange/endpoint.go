package exchange

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/telemetry"
)

// The names of RFC 8693 and RFC 7523.
const (
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantCredentials   = "client_credentials" // RFC 6749 section 4.4: no catalog has it
	grantJWTBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	tokenType          = "urn:ietf:params:oauth:token-type:"
	typeAccess         = "access_token"
	typeJWT            = "jwt"
)

const (
	connectTime = 5 * time.Second
	maxConns    = 64               // to the token endpoint: who comes later waits
	maxHead     = 64 << 10         // bytes of an answer's headers
	idleTime    = 4 * time.Second  // Node and uvicorn close theirs after 5 s
	maxWait     = 60 * time.Second // that an issuer may ask for
)

// endpoint is an issuer's token endpoint.
type endpoint struct {
	rules  *rules.Exchange
	client authenticator
	actor  secret.Text
	known  []string // secrets that must not come back in an error
	http   http.RoundTripper
	url    *url.URL

	outgoing func(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string))
}

// newEndpoint makes an endpoint. Nothing is asked yet.
func newEndpoint(c Config) (*endpoint, error) {
	x := c.Rules.Exchange
	if x.Grant != rules.GrantTokenExchange && x.Grant != rules.GrantJWTBearer && x.Grant != grantCredentials {
		return nil, fmt.Errorf("the grant %q is not known", x.Grant)
	}
	p := &endpoint{rules: x, outgoing: c.outgoing()}
	if x.ActorTokenType != "" {
		if p.actor = c.Secrets.Actor; p.actor.Empty() {
			return nil, errors.New("the actor's token is missing")
		}
		p.known = append(p.known, p.actor.Reveal())
	}
	var err error
	if p.client, err = newAuthenticator(x, c.Secrets.Client); err != nil {
		return nil, err
	}
	if v := c.Secrets.Client.Reveal(); v != "" {
		p.known = append(p.known, v)
	}
	if p.url, err = url.Parse(x.URL); err != nil {
		return nil, errors.New("the token endpoint is no URL")
	}
	p.http, err = transport(p.url, c)
	return p, err
}

// transport connects to the token endpoint through its guard and nothing else: the request holds secrets, so no proxy of
// the environment sees it, and no redirect is followed. It follows none by itself.
func transport(u *url.URL, c Config) (*http.Transport, error) {
	allowed, err := egress.Parse(c.Rules.Exchange.Egress)
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	port, err := egress.PortOf(u)
	if err != nil {
		return nil, err
	}
	dialer := egress.Dialer{Guard: egress.Guard{Rules: allowed, Port: port, Encrypted: u.Scheme == "https"}, Resolver: c.Resolver, Timeout: connectTime}
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, address string) (net.Conn, error) { return dialer.Dial(ctx, address) },
		TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTime,
		MaxConnsPerHost:        maxConns,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true, // what is small when it is sent must be small when it is read
	}, nil
}

func (p *endpoint) key(who identity.Identity) key { return keyOf(who, p.rules, p.actor.Reveal()) }

// ask has a token exchanged. refused is one that the server did not take; nil where there is none.
func (p *endpoint) ask(ctx context.Context, subject secret.Text, refused *issued) (*issued, *failure) {
	form := p.form(subject)
	if refused != nil && p.rules.Grant == rules.GrantTokenExchange {
		// Ours: RFC 8693 cannot say that a token is no good although it has not ended. Others ignore it (RFC 6749, section 3.2).
		sum := sha256.Sum256([]byte(refused.text.Reveal()))
		form.Set("refused_token_sha256", base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	return p.post(ctx, form, subject)
}

// post sends a form, whose subject must not come back, and takes the token.
func (p *endpoint) post(ctx context.Context, form url.Values, subject secret.Text) (_ *issued, f *failure) {
	ctx, end := p.outgoing(ctx, p.url)
	status := 0
	defer func() { end(status, f.word()) }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.rules.URL, nil)
	if err == nil {
		err = p.client(form, r.Header)
	}
	if err != nil {
		return nil, &failure{kind: broken, cause: fmt.Errorf("make request: %w", err)}
	}
	body := form.Encode()
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.Header["User-Agent"] = nil
	telemetry.Leave(ctx, r.Header)
	resp, err := p.http.RoundTrip(r)
	if err != nil {
		return nil, &failure{kind: unavailable, cause: fmt.Errorf("reach the token endpoint: %w", err)}
	}
	defer resp.Body.Close()
	status = resp.StatusCode
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, &failure{kind: unavailable, cause: fmt.Errorf("read the token endpoint's answer: %w", err)}
	}
	return p.read(resp, answer, subject)
}

// read takes an answer, and keeps out of an error what the issuer repeats of the request.
func (p *endpoint) read(resp *http.Response, body []byte, subject secret.Text) (*issued, *failure) {
	t, f := parseResponse(resp.StatusCode, body, p.rules)
	if f == nil && t.text.Reveal() == subject.Reveal() && !subject.Empty() {
		f = &failure{kind: broken, cause: errors.New("the issuer gave the caller's own token back, which no server may have")}
	}
	if f == nil {
		return t, nil
	}
	if f.kind == connect && !p.own(f.page) {
		f.kind = interact
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.wait = min(time.Duration(min(seconds, int(maxWait.Seconds())))*time.Second, maxWait)
	}
	f.cause = errors.New(p.redact(f.cause.Error(), subject.Reveal()))
	return nil, f
}

// tokenish is what may be a token, or a part of one.
var tokenish = regexp.MustCompile(`[A-Za-z0-9._~+/=-]{40,}`)

func (p *endpoint) redact(text, subject string) string {
	for _, known := range append([]string{subject}, p.known...) {
		if known != "" {
			text = strings.ReplaceAll(text, known, "[secret]")
		}
	}
	return tokenish.ReplaceAllString(text, "[…]")
}

// form is the request without the client's authentication.
func (p *endpoint) form(subject secret.Text) url.Values {
	x := p.rules
	form := url.Values{}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	set("scope", strings.Join(x.Scopes, " "))
	set("audience", x.Audience)
	set("resource", x.Resource)
	if x.Grant == rules.GrantJWTBearer {
		form.Set("grant_type", grantJWTBearer)
		form.Set("requested_token_use", "on_behalf_of")
		form.Set("assertion", subject.Reveal())
		return form
	}
	form.Set("grant_type", grantTokenExchange)
	form.Set("subject_token", subject.Reveal())
	form.Set("subject_token_type", tokenType+x.SubjectTokenType)
	form.Set("requested_token_type", tokenType+x.RequestedTokenType)
	if !p.actor.Empty() {
		form.Set("actor_token", p.actor.Reveal())
		form.Set("actor_token_type", tokenType+x.ActorTokenType)
	}
	return form
}
