package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// registeredPrefix begins the ids of clients that registered themselves.
const registeredPrefix = "dcr_"

// How long a registration is kept: unused ones for a day, so that a flood of them goes by; others until nobody used them for
// long, so that no client that is in use must register again.
const (
	unusedFor = 24 * time.Hour
	usedFor   = 90 * 24 * time.Hour
	renewAt   = usedFor - 24*time.Hour // written at most once a day
)

// Registry keeps clients that registered themselves.
type Registry struct {
	Store store.Store
	Now   func() time.Time
}

// registration is what is stored.
type registration struct {
	Client   Client
	Issued   time.Time
	Access   []byte // hash of the registration access token (RFC 7592)
	Metadata Metadata
}

// Registration is what a client is told once (RFC 7591 section 3.2.1).
type Registration struct {
	Metadata
	ID          string `json:"client_id"`
	Issued      int64  `json:"client_id_issued_at"`
	Secret      string `json:"client_secret,omitempty"`
	SecretEnds  *int64 `json:"client_secret_expires_at,omitempty"` // 0, never, where there is a secret
	AccessToken string `json:"registration_access_token,omitempty"`
	ManagedAt   string `json:"registration_client_uri,omitempty"`
}

func itemKey(id string) store.Key { return store.Key{Part: "client/" + id, Sort: "registration"} }

// Register makes a client of metadata that ParseMetadata took.
func (r *Registry) Register(ctx context.Context, m Metadata) (Registration, error) {
	out := Registration{ID: registeredPrefix + seal.Random(), Issued: r.Now().Unix(), AccessToken: seal.Random()}
	reg := registration{Issued: r.Now(), Access: seal.Hash(out.AccessToken)}
	if err := reg.become(m, &out); err != nil {
		return out, err
	}
	_, err := r.write(ctx, store.Item{Key: itemKey(out.ID), Expires: r.Now().Add(unusedFor)}, reg)
	return out, err
}

// become fills a registration, old or new, and what its client is told.
func (reg *registration) become(m Metadata, out *Registration) error {
	if m.Auth == "" {
		m.Auth = AuthBasic // the default of RFC 7591 section 2
	}
	if !slices.Contains(AuthMethods(), m.Auth) {
		return fmt.Errorf("%w: token_endpoint_auth_method %.40q is not supported", ErrMetadata, m.Auth)
	}
	keys, err := parseKeys(m)
	if err != nil {
		return err
	}
	secret := reg.Client.SecretHash
	if m.Auth != AuthBasic && m.Auth != AuthPost {
		secret = nil
	} else if secret == nil {
		out.Secret = seal.Random()
		out.SecretEnds = new(int64)
		secret = seal.Hash(out.Secret)
	}
	if m.ClientID, m.Scope = "", ""; m.Auth != AuthKeyJWT {
		m.KeysURI = ""
	}
	reg.Client = Client{ID: out.ID, Name: m.Name, RedirectURIs: m.RedirectURIs, Auth: m.Auth, SecretHash: secret, Keys: keys, KeysURI: m.KeysURI, Grants: m.GrantTypes}
	reg.Metadata, out.Metadata = m, m
	return nil
}

func (r *Registry) write(ctx context.Context, i store.Item, reg registration) (store.Item, error) {
	var err error
	if i.Value, err = json.Marshal(reg); err != nil {
		return i, err
	}
	return r.Store.Put(ctx, i)
}

func (r *Registry) read(ctx context.Context, id string) (i store.Item, reg registration, err error) {
	if len(id) > 100 {
		return i, reg, ErrUnknown
	}
	i, err = r.Store.Get(ctx, itemKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return i, reg, ErrUnknown
	}
	if err == nil {
		err = json.Unmarshal(i.Value, &reg)
	}
	return i, reg, err
}

func (r *Registry) find(ctx context.Context, id string) (*Client, error) {
	_, reg, err := r.read(ctx, id)
	return &reg.Client, err
}

// Used says that somebody signed in with a client, or goes on: a registered one is kept for longer then.
func (r *Registry) Used(ctx context.Context, c *Client) error {
	i, reg, err := r.read(ctx, c.ID)
	if errors.Is(err, ErrUnknown) {
		return nil // not one of ours
	}
	if err != nil || i.Expires.After(r.Now().Add(renewAt)) {
		return err
	}
	i.Expires = r.Now().Add(usedFor)
	if _, err = r.write(ctx, i, reg); errors.Is(err, store.ErrConflict) {
		return nil // somebody else has said so
	}
	return err
}

// Manage lets a client that shows its registration access token read, replace (m is not nil) or remove its registration
// (RFC 7592 section 2). ErrUnknown is also the answer to a wrong token.
func (r *Registry) Manage(ctx context.Context, id, token string, m *Metadata, remove bool) (Registration, error) {
	i, reg, err := r.read(ctx, id)
	if err != nil {
		return Registration{}, err
	}
	if !(&Client{SecretHash: reg.Access}).HasSecret(token) {
		return Registration{}, ErrUnknown
	}
	out := Registration{ID: id, Issued: reg.Issued.Unix(), Metadata: reg.Metadata}
	switch {
	case remove:
		return out, r.Store.Delete(ctx, i)
	case m != nil:
		if err := reg.become(*m, &out); err != nil {
			return out, err
		}
		_, err = r.write(ctx, i, reg)
	}
	return out, err
}
