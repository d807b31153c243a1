package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrKeys says that the keys of a client could not be had, or are none.
var ErrKeys = errors.New("the client's jwks_uri")

// renewKeys is how often keys are fetched at most for signatures that are by none of those that are kept.
const renewKeys = time.Minute

// KeySets finds the keys of clients that sign assertions: those that they gave us, or what lies at their jwks_uri now.
type KeySets struct{ *fetcher[*jose.JSONWebKeySet] }

// NewKeySets fetches keys within the bounds of documents, but apart from them: who keeps one busy does not keep the other.
// transport is for tests; nil is the guarded one.
func NewKeySets(now func() time.Time, transport http.RoundTripper) *KeySets {
	return &KeySets{newFetcher(ErrKeys, func(_ string, data []byte) (*jose.JSONWebKeySet, error) {
		keys, err := ParseKeys(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
		return keys, nil
	}, now, transport)}
}

// Find returns the keys of a client.
func (k *KeySets) Find(ctx context.Context, c *Client) (*jose.JSONWebKeySet, error) {
	if c.KeysURI == "" {
		return c.Keys, nil
	}
	return k.get(ctx, c.KeysURI)
}

// Newer returns the keys of a client that may have changed them since: at most once in a while they are fetched for that, so
// that made-up signatures send nobody requests. nil where there can be no newer ones.
func (k *KeySets) Newer(ctx context.Context, c *Client) (*jose.JSONWebKeySet, error) {
	if c.KeysURI == "" {
		return nil, nil
	}
	return k.newer(ctx, c.KeysURI, func(have fetched[*jose.JSONWebKeySet]) bool { return k.now().Before(have.at.Add(renewKeys)) })
}

// CheckKeysURI refuses a jwks_uri that is not fetched.
func CheckKeysURI(uri string) error {
	if _, err := fetchable(uri); err != nil {
		return fmt.Errorf("%w: jwks_uri: %w", ErrMetadata, err)
	}
	return nil
}

// parseKeys reads the keys of a client that signs assertions; nil where they are elsewhere. Only public keys are taken: whoever
// sends us a private one has shown it to others too.
func parseKeys(m Metadata) (*jose.JSONWebKeySet, error) {
	switch here, elsewhere := len(m.Keys) > 0, m.KeysURI != ""; {
	case m.Auth != AuthKeyJWT:
		return nil, nil
	case here == elsewhere: // RFC 7591 section 2: not both
		return nil, fmt.Errorf("%w: private_key_jwt needs either jwks or jwks_uri", ErrMetadata)
	case elsewhere:
		return nil, CheckKeysURI(m.KeysURI)
	}
	return ParseKeys(m.Keys)
}

// ParseKeys reads a JSON Web Key Set (RFC 7517) of public keys.
func ParseKeys(data []byte) (*jose.JSONWebKeySet, error) {
	var keys jose.JSONWebKeySet
	if json.Unmarshal(data, &keys) != nil || len(keys.Keys) == 0 || len(keys.Keys) > maxKeys {
		return nil, fmt.Errorf("%w: jwks is no JSON Web Key Set of 1 to %d keys", ErrMetadata, maxKeys)
	}
	for _, k := range keys.Keys {
		if !k.IsPublic() || !k.Valid() {
			return nil, fmt.Errorf("%w: jwks must hold public keys only", ErrMetadata)
		}
	}
	return &keys, nil
}
