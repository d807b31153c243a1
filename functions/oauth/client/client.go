// Package client knows the clients of the authorization server: those that the operator named, those that registered
// themselves (RFC 7591), and those whose client id is the address of a document about them (client id metadata documents).
//
// It says who a client is and how it proves it. What a client may have for whom is decided elsewhere.
package client

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"mcpgateway/functions/oauth/seal"
)

// The ways in which a client proves itself at the token endpoint (RFC 7591 section 2, OpenID Connect Core section 9).
const (
	AuthNone   = "none"
	AuthBasic  = "client_secret_basic"
	AuthPost   = "client_secret_post"
	AuthKeyJWT = "private_key_jwt"
)

// AuthMethods are all of them.
func AuthMethods() []string { return []string{AuthNone, AuthBasic, AuthPost, AuthKeyJWT} }

// ErrUnknown says that there is no such client, or no longer. The token endpoint answers invalid_client, at which clients
// register anew.
var ErrUnknown = errors.New("the client is unknown: register again")

// Client is a client.
type Client struct {
	ID           string              `json:"id"`
	Name         string              `json:"name"`
	RedirectURIs []string            `json:"redirects,omitempty"`
	Auth         string              `json:"auth"`             // one of AuthMethods
	SecretHash   []byte              `json:"secret,omitempty"` // seal.Hash
	Keys         *jose.JSONWebKeySet `json:"keys,omitempty"`
	KeysURI      string              `json:"keysURI,omitempty"` // where its keys lie instead
	Grants       []string            `json:"grants"`            // the grant types that it may use
	// Assured says that the id proves who the client is: the operator named it, or its document lies at its own address.
	// A name that a client gave itself when it registered proves nothing.
	Assured bool `json:"-"`
	// Host is where the document of a client lies that is known by one; empty for others.
	Host string `json:"-"`
	// Shim is the entry whose shim it is; empty for all that the operator did not say it of.
	Shim string `json:"-"`
	// Exchange is what the client may exchange; nil for all that the operator did not say it of.
	Exchange *Exchange `json:"-"`
}

// Exchange says which tokens a client may exchange for which (RFC 8693): those for one server for others meant for what is
// behind it, or those with an audience that all servers share for one server's.
type Exchange struct {
	Server    string   // id of the entry; empty where it is Shared
	Audiences []string // with Server: what the tokens may be for that it gets
	Account   string   // with Server, instead: the resource at which its callers have accounts, whose tokens it gets
	Shared    []string // audiences
	Keys      bool     // API keys of anybody's for tokens of theirs, which is the gateway's to do
}

// The grant types (RFC 6749, 8693, 7523).
const (
	GrantCode        = "authorization_code"
	GrantRefresh     = "refresh_token"
	GrantCredentials = "client_credentials"
	GrantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	GrantAssertion   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// Grants are all grant types that there are here.
func Grants() []string {
	return []string{GrantCode, GrantRefresh, GrantCredentials, GrantExchange, GrantAssertion}
}

// May tells whether the client may use a grant type.
func (c *Client) May(grant string) bool {
	for _, g := range c.Grants {
		if g == grant {
			return true
		}
	}
	return false
}

// HasSecret compares a secret in constant time.
func (c *Client) HasSecret(secret string) bool {
	return len(c.SecretHash) > 0 && subtle.ConstantTimeCompare(c.SecretHash, seal.Hash(secret)) == 1
}

// source finds clients of one kind. It returns ErrUnknown where there is none of that id.
type source interface {
	find(ctx context.Context, id string) (*Client, error)
}

// Clients finds clients of every kind.
type Clients struct {
	Static     Static
	Registered *Registry
	Documents  *Documents
	Keys       *KeySets
}

// Find returns the client of an id, or ErrUnknown. Other errors say that it could not be found out.
func (c *Clients) Find(ctx context.Context, id string) (*Client, error) {
	var s source
	switch {
	case strings.HasPrefix(id, registeredPrefix):
		s = c.Registered
	case strings.Contains(id, "://"):
		s = c.Documents
	default:
		s = c.Static
	}
	return s.find(ctx, id)
}

// Static are the clients that the operator named, by id.
type Static map[string]*Client

func (s Static) find(_ context.Context, id string) (*Client, error) {
	if c := s[id]; c != nil {
		return c, nil
	}
	return nil, ErrUnknown
}
