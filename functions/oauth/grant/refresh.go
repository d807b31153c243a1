package grant

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// turnPatience is how often, and pauseBetween how long, somebody waits for another refresh of the same grant.
const (
	turns        = 40
	pauseBetween = 250 * time.Millisecond
)

// Refresh turns a refresh token into the next one, after the provider was asked whether the person may still sign in, and
// with which groups (OAuth 2.1 section 4.3).
//
// The token before the last one gets the same answer for a short while: clients refresh twice at once, or lose an answer.
// Later it is a sign that two have it, and ends the grant. Where the provider is down the error is provider.ErrUnavailable,
// and the grant is left as it is, for half a day at most.
func (g *Grants) Refresh(ctx context.Context, token, client, resource string) (Grant, string, error) {
	key, ok := locate(token, refreshPrefix, "person/", "grant/")
	if !ok {
		return Grant{}, "", ErrInvalid
	}
	for range turns {
		var kept Grant
		item, err := g.get(ctx, key, &kept)
		if err != nil {
			return Grant{}, "", err
		}
		if kept.Client != client {
			return Grant{}, "", ErrInvalid
		}
		if resource != "" && resource != kept.Resource {
			return Grant{}, "", ErrTarget
		}
		if !same(kept.Current, seal.Hash(token)) {
			if same(kept.Previous, seal.Hash(token)) && g.Now().Before(kept.Rotated.Add(grace)) {
				return kept, g.next(token), nil
			}
			// The grant's id is in its refresh tokens only: whoever knows it has had one of them.
			return Grant{}, "", errors.Join(ErrInvalid, g.end(ctx, key))
		}
		if g.Now().Before(kept.Busy) {
			if err := pause(ctx); err != nil {
				return Grant{}, "", err
			}
			continue
		}
		kept.Busy = g.Now().Add(busyFor)
		if item, err = g.put(ctx, item, kept); errors.Is(err, store.ErrConflict) {
			continue // somebody else was first
		} else if err != nil {
			return Grant{}, "", err
		}
		return g.renew(ctx, item, kept, token)
	}
	return Grant{}, "", provider.ErrUnavailable
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(pauseBetween):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next is the token that follows another one: it can be made again from that, and is nowhere kept.
func (g *Grants) next(token string) string {
	return token[:len(refreshPrefix)+44] + base64.RawURLEncoding.EncodeToString(g.Sealer.Derive("next refresh token", token))
}

// renew asks the provider and keeps what it said. The grant is ours alone meanwhile. A caller who leaves does not end it: the
// provider may have changed its own token already, and the new one must be kept.
func (g *Grants) renew(ctx context.Context, item store.Item, kept Grant, token string) (Grant, string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyFor-5*time.Second)
	defer cancel()
	session, groups, asked, err := g.ask(ctx, kept.Session)
	switch {
	case errors.Is(err, provider.ErrUnavailable) && g.Now().Before(kept.Checked.Add(unaskedLife)):
		kept.Busy = time.Time{}
		_, failed := g.put(ctx, item, kept)
		return Grant{}, "", errors.Join(err, failed)
	case err != nil:
		return Grant{}, "", errors.Join(ErrInvalid, g.end(ctx, item.Key))
	}
	if asked {
		kept.Session, kept.Groups, kept.Checked = session, groups, g.Now()
	}
	following := g.next(token)
	kept.Previous, kept.Current, kept.Rotated, kept.Busy = kept.Current, seal.Hash(following), g.Now(), time.Time{}
	if _, err := g.put(ctx, item, kept); errors.Is(err, store.ErrConflict) {
		return Grant{}, "", ErrInvalid // revoked meanwhile
	} else if err != nil {
		return Grant{}, "", err
	}
	return kept, following, nil
}

// Find returns the grant of a refresh token that is good now (RFC 7662).
func (g *Grants) Find(ctx context.Context, token string) (Grant, time.Time, error) {
	key, ok := locate(token, refreshPrefix, "person/", "grant/")
	if !ok {
		return Grant{}, time.Time{}, ErrInvalid
	}
	var kept Grant
	i, err := g.get(ctx, key, &kept)
	if err == nil && !same(kept.Current, seal.Hash(token)) {
		err = ErrInvalid
	}
	return kept, i.Expires, err
}

// Revoke ends the grant of a refresh token, if it is the client's (RFC 7009). A token that is not good is no error.
func (g *Grants) Revoke(ctx context.Context, token, client string) error {
	key, ok := locate(token, refreshPrefix, "person/", "grant/")
	if !ok {
		return nil
	}
	var kept Grant
	_, err := g.get(ctx, key, &kept)
	if errors.Is(err, ErrInvalid) || err == nil && (kept.Client != client || !same(kept.Current, seal.Hash(token)) && !same(kept.Previous, seal.Hash(token))) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.end(ctx, key)
}

// Ended is how much a person had.
type Ended struct{ Grants, Keys, Accounts int }

// RevokePerson ends all that a person granted, to every client, and their API keys, and forgets their consents and what their
// accounts at servers gave.
func (g *Grants) RevokePerson(ctx context.Context, p Person) (ended Ended, err error) {
	if ended.Grants, err = g.clear(ctx, p.part(), "grant/"); err == nil {
		ended.Keys, err = g.clear(ctx, p.keysPart(), "key/")
	}
	if err == nil {
		ended.Accounts, err = g.clear(ctx, p.AccountsPart(), "account/")
	}
	return ended, err
}

// clear ends all that is in a part, and counts what is of a kind.
func (g *Grants) clear(ctx context.Context, part, kind string) (counted int, err error) {
	for {
		items, err := g.Store.List(ctx, part)
		if err != nil || len(items) == 0 {
			return counted, err
		}
		for _, i := range items {
			if err := g.end(ctx, i.Key); err != nil {
				return counted, err
			}
			if strings.HasPrefix(i.Sort, kind) {
				counted++
			}
		}
	}
}
