package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

// SelfConfig is what a Self needs. Outgoing is as in Config, which may be nil.
type SelfConfig struct {
	Server   rules.FilterServer // with a Caller
	Depth    int                // rules.FilterDepth
	Secret   secret.Text        // the client's password, or private key as PEM or JWK
	Outgoing func(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string))
}

// Self has tokens of the shim's own for one server of the catalog (RFC 6749 section 4.4). It is safe for concurrent use.
type Self struct {
	endpoint *endpoint
	form     url.Values
	now      func() instant
	flights  singleflight.Group

	mu     sync.Mutex
	token  *issued // nil where there is none
	failed error   // why there is none, where that is known
	asked  instant
	until  instant // either holds
}

// NewSelf makes a Self. An error says that the secret is missing or is not what the rules say.
func NewSelf(c SelfConfig) (*Self, error) {
	who := c.Server.Caller
	if who == nil || c.Depth < 1 {
		return nil, errors.New("exchange: Server.Caller and Depth are required")
	}
	endpoint, err := newEndpoint(Config{Outgoing: c.Outgoing, Secrets: Secrets{Client: c.Secret}, Rules: rules.Credentials{Exchange: &rules.Exchange{
		Grant: grantCredentials, URL: who.Issuer + "/token", Egress: c.Server.Egress, Resource: c.Server.URL, RequestedTokenType: typeAccess, Client: who.Client,
	}}})
	if err != nil {
		return nil, fmt.Errorf("token of our own: %w", err)
	}
	form := url.Values{"grant_type": {grantCredentials}, "resource": {c.Server.URL}, rules.FilterDepth: {strconv.Itoa(c.Depth)}}
	return &Self{endpoint: endpoint, form: form, now: newClock()}, nil
}

// Token is one that is kept until shortly before its end, or a new one, which all who need it at the same time wait for. What
// the authorization server refused is not asked for again at once.
func (s *Self) Token(ctx context.Context) (secret.Text, error) {
	if t, err := s.kept(); t != nil || err != nil {
		return text(t), err
	}
	ch := s.flights.DoChan("", func() (any, error) {
		if t, err := s.kept(); t != nil || err != nil { // of a flight that ended as this one began
			return t, err
		}
		flight, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTime)
		defer cancel()
		return s.renew(flight)
	})
	select {
	case r := <-ch:
		t, _ := r.Val.(*issued)
		return text(t), r.Err
	case <-ctx.Done():
		return secret.Text{}, fmt.Errorf("the authorization server does not answer: %w", ctx.Err())
	}
}

func (s *Self) kept() (*issued, error) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.reached(s.until) {
		s.token, s.failed = nil, nil
	}
	return s.token, s.failed
}

func (s *Self) renew(ctx context.Context) (*issued, error) {
	before := s.now() // what the answer says counts from when it was made, and not from when it is here
	form := url.Values{}
	for name, values := range s.form { // who asks is added to it
		form[name] = values
	}
	got, f := s.endpoint.post(ctx, form, secret.Text{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.failed, s.asked = got, nil, before
	if f != nil {
		s.failed, s.until = fmt.Errorf("get a token for the filter's server: %w", f.cause), before.in(f.remembered())
		return nil, s.failed
	}
	s.until = before.in(got.life - min(maxSkew, got.life/4))
	return got, nil
}

// Refused forgets a token that the server refused, so that whoever asks next gets another; one that was had just now stays, since
// another would be refused too.
func (s *Self) Refused(token secret.Text) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.token.text.Reveal() == token.Reveal() && now.reached(s.asked.in(renewEvery)) {
		s.token = nil
	}
}

func text(t *issued) secret.Text {
	if t == nil {
		return secret.Text{}
	}
	return t.text
}
