// Package exchange finds what the server is sent in place of the caller's token: a token that an issuer gives for it
// (RFC 8693, or RFC 7523 as Microsoft's on-behalf-of flow has it), headers with a secret, headers with a claim.
//
// It decides who is asked and what is kept for how long. It sends nothing to the server: that is package forward, which
// comes back once when the server refuses a token.
package exchange

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

// Secrets are what the shim was given at its start. What is not there is empty.
type Secrets struct {
	Client  secret.Text            // password, or private key as PEM or JWK
	Actor   secret.Text            // the actor's token
	Headers map[string]secret.Text // by key of the store
	OAuth   secret.Text            // of the client that the shim is at our own authorization server: password, or private key
}

// Config is what an Exchanger needs. Roots and Resolver are this machine's where nil; Logger is slog.Default where nil.
// Outgoing is told of each request to the token endpoint, and then of the answer's status and the kind of a failure; nobody
// is where it is nil.
type Config struct {
	Resource string // URL of the server, for callers that must sign in again
	Rules    rules.Credentials
	Secrets  Secrets
	Logger   *slog.Logger
	Roots    *x509.CertPool
	Resolver *net.Resolver
	Outgoing func(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string))
}

func (c *Config) outgoing() func(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string)) {
	if c.Outgoing != nil {
		return c.Outgoing
	}
	return func(ctx context.Context, _ *url.URL) (context.Context, func(int, string)) {
		return ctx, func(int, string) {}
	}
}

const (
	flightTime   = 10 * time.Second // longest exchange
	refusedFor   = 10 * time.Second // that an issuer's refusal of one token is remembered
	brokenFor    = 2 * time.Second  // that its failure is
	renewEvery   = 10 * time.Second // at most, for one key: a server that refuses every token costs its issuer no more
	maxTokens    = 4096             // kept
	maxRefusals  = 1024             // remembered
	maxCacheSize = 8 << 20          // bytes of the tokens that are kept
)

// Exchanger makes credentials for one server by one version of its rules. It is safe for concurrent use. A nil Exchanger
// makes none.
type Exchanger struct {
	resource string
	rules    rules.Credentials
	headers  []header
	endpoint *endpoint // nil where nothing is exchanged
	log      *slog.Logger
	now      func() instant

	tokens   *cache // by the caller
	refusals *cache // by the caller and the caller's token
	flights  singleflight.Group
}

// New makes an Exchanger. An error says which secret is missing or is not what the rules say.
func New(c Config) (*Exchanger, error) {
	if c.Resource == "" {
		return nil, errors.New("exchange: Resource is required")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	e := &Exchanger{resource: c.Resource, rules: c.Rules, log: c.Logger, now: newClock()}
	var err error
	if e.headers, err = makeHeaders(c.Rules, c.Secrets.Headers); err != nil {
		return nil, err
	}
	if c.Rules.Exchange == nil {
		return e, nil
	}
	if e.endpoint, err = newEndpoint(c); err != nil {
		return nil, fmt.Errorf("token exchange: %w", err)
	}
	clock := func() instant { return e.now() } // tests set it later
	e.tokens, e.refusals = newCache(maxTokens, clock), newCache(maxRefusals, clock)
	return e, nil
}

// Credential finds what the server is sent for a caller: subject is the caller's token, which who was read from. An error
// is an *mcp.Error. It waits for an issuer where it must; other callers of the same identity wait for the same answer.
func (e *Exchanger) Credential(ctx context.Context, subject secret.Text, who identity.Identity) (*Credential, error) {
	if e == nil {
		return nil, nil
	}
	c := &Credential{exchanger: e, subject: subject, who: who}
	var err error
	if c.claims, err = e.claims(subject); err != nil {
		return nil, err
	}
	if e.endpoint != nil {
		if c.token, err = e.token(ctx, subject, who, nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// token is one that is kept, or a new one in the place of one that the server refused; nil where it refused none.
func (e *Exchanger) token(ctx context.Context, subject secret.Text, who identity.Identity, refused *issued) (*issued, error) {
	k := e.endpoint.key(who)
	if t := e.tokens.get(k); t != nil {
		return t.token, nil
	}
	own := k.with(subject)
	// A flight may be another caller's of the same identity, whose token was refused: that says nothing of this one.
	const tries = 3
	for range tries {
		if r := e.refusals.get(own); r != nil {
			return nil, r.err
		}
		out, err := e.fly(ctx, k, own, subject, who, refused)
		if err != nil || out.token != nil {
			return out.token, err
		}
		if out.of == own {
			return nil, out.err
		}
	}
	return nil, busy(errors.New("callers with the same identity and refused tokens keep exchanging"))
}

// flown is the outcome of a flight.
type flown struct {
	of    key // the caller and the token that were asked for
	token *issued
	err   error
}

// fly asks the issuer, once for all who ask at the same time. The flight does not end when the caller who began it leaves.
// An error is that of a caller who did not wait.
func (e *Exchanger) fly(ctx context.Context, k, own key, subject secret.Text, who identity.Identity, refused *issued) (flown, error) {
	ch := e.flights.DoChan(string(k[:]), func() (any, error) {
		if t := e.tokens.get(k); t != nil { // of a flight that ended as this one began
			return flown{own, t.token, nil}, nil
		}
		flight, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTime)
		defer cancel()
		before := e.now() // what the answer says counts from when it was made, and not from when it is here
		got, err := e.endpoint.ask(flight, subject, refused)
		if err != nil {
			if err.kind == broken && !before.wall.Before(who.Expiry) {
				err.kind = signIn // we take a token a while longer, since clocks differ; RFC 8693 section 2.2.2 has no code for one that is over
			}
			refusal := e.refuse(err)
			e.refusals.put(own, answer{err: refusal}, before.in(err.remembered()))
			return flown{own, nil, refusal}, nil
		}
		if span := got.useful(before.wall, who.Expiry); span > 0 {
			e.tokens.put(k, answer{token: got}, before.in(span))
		}
		return flown{own, got, nil}, nil
	})
	select {
	case r := <-ch:
		return r.Val.(flown), r.Err
	case <-ctx.Done():
		return flown{}, left(ctx.Err())
	}
}
