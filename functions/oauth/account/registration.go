package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/store"
)

// Registrations keeps what authorization servers know us as where we registered.
type Registrations struct {
	Store store.Store
	KEK   envelope.KEK
}

// registration is what is sealed of one.
type registration struct{ ID, Secret, Auth string }

func placeOf(server, issuer string) store.Key {
	sum := sha256.Sum256([]byte(server + "\x00" + issuer))
	return store.Key{Part: "client-at/" + base64.RawURLEncoding.EncodeToString(sum[:]), Sort: "client"}
}

// Find returns our registration at an issuer, for a server. One that was encrypted with another key is none.
func (r *Registrations) Find(ctx context.Context, server, issuer string) (upstream.Client, bool, error) {
	_, c, err := r.read(ctx, placeOf(server, issuer))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, envelope.ErrForeign) {
		return c, false, nil
	}
	return c, err == nil, err
}

func (r *Registrations) read(ctx context.Context, k store.Key) (i store.Item, c upstream.Client, err error) {
	if i, err = r.Store.Get(ctx, k); err != nil {
		return i, c, err
	}
	var sealed envelope.Sealed
	if err := json.Unmarshal(i.Value, &sealed); err != nil {
		return i, c, err
	}
	plain, err := envelope.Open(ctx, r.KEK, labelOf(k), sealed)
	var kept registration
	if err == nil {
		err = json.Unmarshal(plain, &kept)
	}
	c = upstream.Client{ID: kept.ID, Auth: kept.Auth}
	if kept.Secret != "" {
		c.Secret = secret.New(kept.Secret)
	}
	return i, c, err
}

// Keep keeps a registration, unless another process has been first: then it is theirs that counts.
func (r *Registrations) Keep(ctx context.Context, server, issuer string, c upstream.Client, ends time.Time) (upstream.Client, error) {
	key := placeOf(server, issuer)
	there, kept, err := r.read(ctx, key)
	if err == nil {
		return kept, nil
	}
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, envelope.ErrForeign) {
		return c, err
	}
	e, err := envelope.New(ctx, r.KEK, labelOf(key))
	if err != nil {
		return c, err
	}
	plain, err := json.Marshal(registration{c.ID, c.Secret.Reveal(), c.Auth})
	if err != nil {
		return c, err
	}
	value, err := json.Marshal(e.Seal(plain))
	if err != nil {
		return c, err
	}
	_, err = r.Store.Put(ctx, store.Item{Key: key, Value: value, Version: there.Version, Expires: ends})
	if errors.Is(err, store.ErrConflict) {
		_, kept, err := r.read(ctx, key)
		return kept, err
	}
	return c, err
}

// Forget removes a registration, if it is still the one that counts.
func (r *Registrations) Forget(ctx context.Context, server, issuer string, c upstream.Client) error {
	i, kept, err := r.read(ctx, placeOf(server, issuer))
	if errors.Is(err, store.ErrNotFound) || err == nil && kept.ID != c.ID {
		return nil
	}
	if err != nil && !errors.Is(err, envelope.ErrForeign) {
		return err
	}
	if err = r.Store.Delete(ctx, i); errors.Is(err, store.ErrConflict) {
		return nil // somebody else did
	}
	return err
}
