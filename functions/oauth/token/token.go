// Package token makes and reads the access tokens of the authorization server, and keeps the keys that sign them.
//
// An access token is a JWT (RFC 9068) for one server, short enough that nobody has to be asked whether it still holds.
package token

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Life is how long an access token is valid.
const Life = 10 * time.Minute

// ErrInvalid says that a token is none of ours, or no longer valid.
var ErrInvalid = errors.New("token: it is not valid")

// Access is what an access token says.
type Access struct {
	Issuer   string
	Subject  string // of a person identity.QualifiedSubject, of an agent its client id
	Audience string // the URL of one server
	Client   string
	Groups   []string
	Scope    string
	SignedIn time.Time       // when the person did; zero for an agent
	Actor    json.RawMessage // the act claim: who acts for the subject (RFC 8693 section 4.1); nil where nobody else does
	// FilterDepth is how many filters are asked at the same time when a shim uses it to call one; 0 in all other tokens.
	FilterDepth int
	ID          string    // filled in by Sign
	Expires     time.Time // filled in by Sign
}

// Actor is an act claim: who acts for a subject now, and before whom.
type Actor struct {
	Issuer  string          `json:"iss"`
	Subject string          `json:"sub"`
	Before  json.RawMessage `json:"act,omitempty"`
}

// claims are those of RFC 9068 section 2.2, and the groups.
type claims struct {
	jwt.Claims
	ClientID string           `json:"client_id"`
	Scope    string           `json:"scope,omitempty"`
	Groups   []string         `json:"groups,omitempty"`
	AuthTime *jwt.NumericDate `json:"auth_time,omitempty"`
	Actor    json.RawMessage  `json:"act,omitempty"`
	Depth    int              `json:"filter_depth,omitempty"` // rules.FilterDepth
}

// Sign makes an access token, valid for life.
func (k *Keys) Sign(ctx context.Context, a Access, life time.Duration) (string, error) {
	key, err := k.signer(ctx)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.private, KeyID: key.id}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return "", err
	}
	now := k.now()
	c := claims{ClientID: a.Client, Scope: a.Scope, Groups: a.Groups, Actor: a.Actor, Depth: a.FilterDepth, Claims: jwt.Claims{
		Issuer: a.Issuer, Subject: a.Subject, Audience: jwt.Audience{a.Audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}}
	if !a.SignedIn.IsZero() {
		c.AuthTime = jwt.NewNumericDate(a.SignedIn)
	}
	return jwt.Signed(signer).Claims(c).Serialize()
}

// Verify reads an access token of the issuer's, or returns ErrInvalid. Other errors say that the keys cannot be had.
func (k *Keys) Verify(ctx context.Context, issuer, text string) (Access, error) {
	if len(text) > 16<<10 {
		return Access{}, ErrInvalid
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != "at+jwt" {
		return Access{}, ErrInvalid
	}
	keys, err := k.current(ctx)
	if err != nil {
		return Access{}, err
	}
	n := slices.IndexFunc(keys, func(key signingKey) bool { return key.id == parsed.Headers[0].KeyID })
	var c claims
	if n < 0 || parsed.Claims(keys[n].private.Public(), &c) != nil || len(c.Audience) != 1 ||
		c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, Time: k.now()}, 0) != nil || c.Expiry == nil {
		return Access{}, ErrInvalid
	}
	a := Access{Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience[0], Client: c.ClientID, Groups: c.Groups, Scope: c.Scope,
		ID: c.ID, Expires: c.Expiry.Time(), Actor: c.Actor}
	if c.AuthTime != nil {
		a.SignedIn = c.AuthTime.Time()
	}
	return a, nil
}

// published sorts keys, and leaves out those whose successor signs for so long that nothing of theirs is valid any more.
func published(keys []signingKey, now time.Time) []signingKey {
	slices.SortFunc(keys, func(a, b signingKey) int { return a.From.Compare(b.From) })
	for len(keys) > 1 && keys[1].From.Add(keepAfter).Before(now) {
		keys = keys[1:]
	}
	return keys
}
