package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrDocument says that a client's document could not be had, or is none.
var ErrDocument = errors.New("the client's metadata document")

// Documents finds clients whose id is the https URL of a document about them (draft-ietf-oauth-client-id-metadata-document).
type Documents struct{ *fetcher[*Client] }

// NewDocuments fetches documents. transport is for tests; nil is the guarded one.
func NewDocuments(now func() time.Time, transport http.RoundTripper) *Documents {
	return &Documents{newFetcher(ErrDocument, parseDocument, now, transport)}
}

// checkID refuses ids that are no https URL with a path of its own.
func checkID(id string) (host string, err error) {
	u, err := fetchable(id)
	if err != nil || len(u.Path) < 2 || u.RawQuery != "" || u.ForceQuery {
		return "", ErrUnknown
	}
	return u.Host, nil
}

func (d *Documents) find(ctx context.Context, id string) (*Client, error) {
	if _, err := checkID(id); err != nil {
		return nil, err
	}
	return d.get(ctx, id)
}

// parseDocument makes a client of a document. It must say of itself that it is the one at that address, and can hold no
// secret, since everybody can read it.
func parseDocument(id string, data []byte) (*Client, error) {
	host, err := checkID(id)
	if err != nil {
		return nil, err
	}
	m, err := ParseMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	m.Auth = cmp.Or(m.Auth, AuthNone)
	if m.ClientID != id || m.Auth != AuthNone && m.Auth != AuthKeyJWT {
		return nil, fmt.Errorf("%w names another client_id, or a token_endpoint_auth_method with a secret", ErrDocument)
	}
	keys, err := parseKeys(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return &Client{ID: id, Host: host, Name: m.Name, RedirectURIs: m.RedirectURIs, Auth: m.Auth, Keys: keys, KeysURI: m.KeysURI, Grants: m.GrantTypes, Assured: true}, nil
}
