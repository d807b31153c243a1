package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mcpgateway/internal/clock"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Config says whose tokens a Verifier accepts.
type Config struct {
	// Issuers are the authorization servers whose tokens are accepted; at least one.
	Issuers []Issuer
	// HTTPClient fetches discovery documents and keys. Its redirect policy is not used: redirects are never followed.
	// Where nil, a client with modest timeouts that honours the proxy variables.
	HTTPClient *http.Client
	// Logger hears of fetched, changed and unreachable keys, never of a token. Where nil, slog.Default.
	Logger *slog.Logger
	// Now is the clock; the one on the wall where nil.
	Now func() time.Time
	// Before is the verifier that the new one replaces. What it knows of the keys of issuers that both have is kept, and
	// how old it is, so that nobody waits for an issuer because another was added. May be nil.
	Before *Verifier
}

// Verifier checks bearer tokens. It is safe for concurrent use; it starts no goroutine that outlives a fetch, so it
// needs no closing.
type Verifier struct {
	issuers []*issuer
	byURL   map[string]*issuer
	now     func() time.Time
	cache   *cache
}

// issuer is an Issuer with the keys that are known of it.
type issuer struct {
	Issuer
	keys *keySource
}

// NewVerifier makes a Verifier. It contacts nobody: keys are fetched when the first token needs them.
func NewVerifier(c Config) (*Verifier, error) {
	if len(c.Issuers) == 0 {
		return nil, errors.New("identity: no issuers are configured")
	}
	if c.Now == nil {
		c.Now = clock.Wall
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	v := &Verifier{byURL: make(map[string]*issuer), now: c.Now, cache: newCache()}
	client := newClient(c.HTTPClient)
	if err := checkBrokers(c.Issuers); err != nil {
		return nil, err
	}
	for _, i := range c.Issuers {
		if err := i.check(); err != nil {
			return nil, fmt.Errorf("identity: issuer %q: %w", i.URL, err)
		}
		if v.byURL[i.URL] != nil {
			return nil, fmt.Errorf("identity: issuer %q is configured twice", i.URL)
		}
		known := &issuer{Issuer: i, keys: c.Before.keysOf(i)}
		if known.keys == nil {
			from := fetcher{issuer: i.URL, client: client}
			known.keys = &keySource{fetch: from.now, now: c.Now, log: c.Logger.With("issuer", i.URL)}
			if i.KeysFile != "" {
				known.keys.fetch = brought(i.KeysFile, from, c.Now)
			}
			if err := known.keys.start(i.Keys); err != nil {
				return nil, fmt.Errorf("identity: issuer %q: read key snapshot: %w", i.URL, err)
			}
		}
		v.issuers = append(v.issuers, known)
		v.byURL[i.URL] = known
	}
	return v, nil
}

// keysOf returns the keys of an issuer, nil where it is none of v's, has them from elsewhere there, or there is no v.
func (v *Verifier) keysOf(i Issuer) *keySource {
	if v == nil || v.byURL[i.URL] == nil || v.byURL[i.URL].KeysFile != i.KeysFile {
		return nil
	}
	return v.byURL[i.URL].keys
}

// check refuses an issuer whose tokens could not be told apart safely.
func (i Issuer) check() error {
	if err := checkURL(i.URL); err != nil {
		return err
	}
	if len(i.Audiences) == 0 {
		return errors.New("audiences: at least one is needed")
	}
	bound := func(a string) bool { return strings.Contains(a, resourcePlaceholder) }
	for _, a := range i.Audiences {
		if a == "" {
			return errors.New("audiences: an empty one matches nothing")
		}
		if !bound(a) && !i.InsecureSharedAudience {
			return fmt.Errorf("audiences: %q is the same for all servers, so a token taken by one opens the others: "+
				"use %s, or set insecureSharedAudience", a, resourcePlaceholder)
		}
	}
	if i.TokenType != "" && i.TokenType != typeAccess && i.TokenType != typeJWT && i.TokenType != TypeIDJAG {
		return fmt.Errorf("tokenType: %q is none of %s, %s and %s", i.TokenType, typeAccess, typeJWT, TypeIDJAG)
	}
	return nil
}

// Verify returns whose access token this is, if one of the issuers made it for one of the resources (the URLs under
// which a server is offered; audiences are compared as exact strings). The times in it may be off by 60 s.
//
// The error is ErrUnavailable (errors.Is) when the answer may differ later, and a refusal otherwise. Its text is safe
// to show to the caller and to put into a WWW-Authenticate header: it holds nothing of the token.
//
// A verified token is not checked again for up to 60 s, but at once when its issuer's keys change. The slices of the
// Identity are shared and must not be modified.
func (v *Verifier) Verify(ctx context.Context, token string, resources []string) (Identity, error) {
	if len(token) > maxToken {
		return Identity{}, errTooLong
	}
	now := v.now()
	key := keyOf(token, resources)
	if id, ok := v.cache.get(key, now); ok {
		return id, nil
	}
	parsed, err := parseToken(token)
	if err != nil {
		return Identity{}, err
	}
	from := v.byURL[parsed.issuer]
	if from == nil {
		return Identity{}, errUnknownIssuer
	}
	if err := parsed.header.check(from.TokenType); err != nil {
		return Identity{}, err
	}
	claims, keys, err := from.open(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	id, err := claims.identity(from.Issuer, resources, now)
	if err != nil {
		return Identity{}, err
	}
	v.cache.put(key, verified{identity: id, source: from.keys, keys: keys, until: earliest(id.Expiry, now.Add(cacheFor))})
	return id, nil
}

// open verifies the token's signature and returns its claims, and the keys among which was the one that signed it.
func (i *issuer) open(ctx context.Context, token string) (claims, *keySet, error) {
	sig := &signature{source: i.keys}
	// Expiry is checked with the other times: go-oidc allows no leeway there, and five minutes for nbf.
	config := &oidc.Config{SupportedSigningAlgs: algorithmNames, SkipClientIDCheck: true, SkipExpiryCheck: true}
	_, err := oidc.NewVerifier(i.URL, sig, config).Verify(ctx, token)
	switch {
	case sig.err != nil:
		return nil, nil, sig.err
	case err != nil:
		return nil, nil, errMalformed
	}
	c, err := parseClaims(sig.payload)
	return c, sig.keys, err
}

// Snapshot returns the issuers as configured, each with the keys that are known now or can be fetched, so that another
// Verifier can start without a call. Equal key sets give equal bytes. Keys is nil where they cannot be had.
func (v *Verifier) Snapshot(ctx context.Context) []Issuer {
	out := make([]Issuer, len(v.issuers))
	var all sync.WaitGroup
	for n, i := range v.issuers {
		all.Go(func() {
			out[n] = i.Issuer
			out[n].Keys = nil
			if keys, err := i.keys.current(ctx); err == nil {
				out[n].Keys = slices.Clone(keys.raw)
			}
		})
	}
	all.Wait()
	return out
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
