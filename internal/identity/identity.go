// Package identity turns a bearer token into an identity: who calls, as (issuer, subject), with the groups that the issuer names.
//
// It accepts OAuth access tokens in JWT form (RFC 9068, or plain JWTs where an issuer's configuration says so) of
// several issuers, and binds each to the resource it was issued for (RFC 8707). It decides nothing about what the
// identity may do: that is package policy.
package identity

import (
	"encoding/json"
	"errors"
	"time"
)

// ErrUnavailable says that a token could not be checked because the keys it needs are unknown and its issuer cannot be
// reached: the caller may try the same token again later. Every other error of Verify is a refusal.
var ErrUnavailable = errors.New("the issuer of the token cannot be reached at the moment")

// Identity is a verified caller. Two callers are the same person only if Issuer and Subject are both equal.
type Identity struct {
	Issuer  string    // the issuer's URL, as in the iss claim
	Subject string    // the sub claim
	Groups  []string  // values of the issuer's groups claim; they belong to Issuer
	Client  string    // client_id or azp claim; empty where the token has neither
	Scopes  []string  // the scope (or scp) claim, split
	ACR     string    // the acr claim: how the caller signed in; empty where the token does not say
	Actor   string    // the act claim as it stands in the token, JSON: who acts for the subject (RFC 8693 section 4.1)
	Expiry  time.Time // the exp claim
}

// Issuer is an authorization server whose tokens are accepted.
type Issuer struct {
	// Name stands before a colon in policies ("partner:engineering").
	Name string `yaml:"name" json:"name"`
	// URL is the issuer identifier, exactly as in the iss claim and in the discovery document.
	URL string `yaml:"url" json:"url"`
	// Audiences lists what the aud claim must hold one of; "{resource}" stands for the URLs of the server that is asked for.
	Audiences []string `yaml:"audiences" json:"audiences"`
	// GroupsClaim names the claim that lists the groups; "groups" where empty.
	GroupsClaim string `yaml:"groupsClaim" json:"groupsClaim,omitempty"`
	// Default marks the issuer that unqualified users and groups in policies belong to.
	Default bool `yaml:"default" json:"default,omitempty"`
	// TokenType is the typ header that access tokens must carry: "at+jwt" (RFC 9068, where empty), or "JWT" for
	// issuers that mark access tokens no better. ID, refresh and logout tokens are then told by their claims, and an
	// access token must carry one that only access tokens have (scope, scp, client_id, cid, appid, azpacr or gty, or
	// a typ, token_use or token_type that says so).
	TokenType string `yaml:"tokenType" json:"tokenType,omitempty"`
	// InsecureSharedAudience permits Audiences without "{resource}": a token taken by one server then opens the others.
	InsecureSharedAudience bool `yaml:"insecureSharedAudience" json:"insecureSharedAudience,omitempty"`
	// Brokers are the URLs of other issuers that this one signs people in at: it speaks for their users and groups, whom
	// its tokens name in the form of QualifiedSubject.
	Brokers []string `yaml:"brokers" json:"brokers,omitempty"`
	// KeysFile is a file that somebody keeps the keys in (KeyFile), for those whom the issuer does not reach, such as
	// functions/keys; a relative path is beside the platform file. Where it is missing or old the issuer is asked.
	KeysFile string `yaml:"keys" json:"-"`
	// Keys is a snapshot of the issuer's JSON Web Key Set (RFC 7517): with it no call is needed before the first token.
	// It counts as fetched when the Verifier is made, so whoever hands snapshots on must keep them recent.
	Keys json.RawMessage `yaml:"-" json:"keys,omitempty"`
}
