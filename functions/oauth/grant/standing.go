package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
)

// Standing is what is known of a person who has API keys: that they may sign in, and with which groups. All their keys go by
// it, since a provider's refresh token changes with its use and can be kept in one place only.
type Standing struct {
	Person   Person
	Groups   []string
	SignedIn time.Time
	Checked  time.Time // when the provider was last asked
	Session  string    // sealed provider.Session
	Busy     time.Time // until then somebody else asks the provider
}

// askAfter is how long what the provider said holds.
const askAfter = 5 * time.Minute

func standingKey(part string) store.Key { return store.Key{Part: part, Sort: "standing"} }

// Account is a browser in which a person signed in to look after their keys.
type Account struct {
	Person Person
	Name   string // to show; may be empty
	Groups []string
	Hash   []byte // of the cookie
}

const (
	accountPrefix = "mga_"
	// AccountLife is how long a person may look after their keys before they sign in again.
	AccountLife = 15 * time.Minute
)

// SignIn keeps what a sign-in said of a person, for their keys, and returns a cookie for the browser. Without a refresh token of
// the provider's it holds for half a day: nobody could be asked after that.
func (g *Grants) SignIn(ctx context.Context, issuer string, s provider.Session) (cookie string, err error) {
	p, now := Person{Issuer: issuer, Subject: s.Subject}, g.Now()
	session, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	ends := now.Add(MaxKeyLife)
	if s.Refresh == "" {
		ends = now.Add(unaskedLife)
	}
	kept := Standing{Person: p, Groups: s.Groups, SignedIn: now, Checked: now, Session: g.Sealer.Seal(sessionPurpose, session)}
	if err := g.replace(ctx, store.Item{Key: standingKey(p.keysPart()), Expires: ends}, kept); err != nil {
		return "", err
	}
	return g.Visit(ctx, issuer, s)
}

// Visit keeps who signed in, for pages of theirs that need no more, and returns a cookie for the browser.
func (g *Grants) Visit(ctx context.Context, issuer string, s provider.Session) (cookie string, err error) {
	p := Person{Issuer: issuer, Subject: s.Subject}
	id := seal.Random()[:22]
	cookie = accountPrefix + p.hash() + id + seal.Random()
	_, err = g.put(ctx, store.Item{Key: store.Key{Part: p.keysPart(), Sort: "visit/" + id}, Expires: g.Now().Add(AccountLife)},
		Account{Person: p, Name: s.Name, Groups: s.Groups, Hash: seal.Hash(cookie)})
	return cookie, err
}

// replace writes an item whatever was there.
func (g *Grants) replace(ctx context.Context, i store.Item, v any) error {
	for range 5 {
		there, err := g.Store.Get(ctx, i.Key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		i.Version = there.Version
		if _, err = g.put(ctx, i, v); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("keep a sign-in: %w", store.ErrConflict)
}

// Account returns who signed in with a cookie, or ErrInvalid.
func (g *Grants) Account(ctx context.Context, cookie string) (Account, error) {
	place, ok := locate(cookie, accountPrefix, keysOf, "visit/")
	if !ok {
		return Account{}, ErrInvalid
	}
	var a Account
	if _, err := g.get(ctx, place, &a); err != nil {
		return Account{}, err
	}
	if !same(a.Hash, seal.Hash(cookie)) {
		return Account{}, ErrInvalid
	}
	return a, nil
}

// standing is what holds of a person now. Whoever finds that the provider must be asked does so, and the others meanwhile go by
// what it said before.
func (g *Grants) standing(ctx context.Context, part string) (Standing, error) {
	for range turns {
		var s Standing
		item, err := g.get(ctx, standingKey(part), &s)
		if err != nil {
			return s, err
		}
		if now := g.Now(); now.Before(s.Checked.Add(askAfter)) || now.Before(s.Busy) && now.Before(s.Checked.Add(2*askAfter)) {
			return s, nil
		}
		if g.Now().Before(s.Busy) {
			if err := pause(ctx); err != nil {
				return s, err
			}
			continue
		}
		s.Busy = g.Now().Add(busyFor)
		if item, err = g.put(ctx, item, s); errors.Is(err, store.ErrConflict) {
			continue // somebody else was first
		} else if err != nil {
			return s, err
		}
		return g.renewStanding(ctx, item, s)
	}
	return Standing{}, provider.ErrUnavailable
}

// renewStanding asks the provider. Whom it refuses has no keys that are good until they sign in again.
func (g *Grants) renewStanding(ctx context.Context, item store.Item, s Standing) (Standing, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyFor-5*time.Second)
	defer cancel()
	session, groups, asked, err := g.ask(ctx, s.Session)
	switch {
	case errors.Is(err, provider.ErrUnavailable):
		s.Busy = time.Time{}
		_, failed := g.put(ctx, item, s)
		return s, errors.Join(err, failed)
	case err != nil:
		return s, errors.Join(ErrInvalid, g.end(ctx, item.Key))
	}
	if asked {
		s.Session, s.Groups = session, groups
	}
	s.Checked, s.Busy = g.Now(), time.Time{} // without anybody to ask the item's own end is near
	if _, err := g.put(ctx, item, s); errors.Is(err, store.ErrConflict) {
		return s, ErrInvalid // revoked meanwhile
	} else if err != nil {
		return s, err
	}
	return s, nil
}

// ask has the provider say whether a sealed session still holds, and returns it as it is from now on.
func (g *Grants) ask(ctx context.Context, sealed string) (session string, groups []string, asked bool, err error) {
	var s provider.Session
	if err := g.open(sealed, &s); err != nil {
		return "", nil, false, err
	}
	renewed, asked, err := g.Provider.Renew(ctx, s)
	if err != nil || !asked {
		return sealed, s.Groups, asked, err
	}
	if renewed.Refresh == "" {
		renewed.Refresh = s.Refresh
	}
	plain, err := json.Marshal(renewed)
	return g.Sealer.Seal(sessionPurpose, plain), renewed.Groups, true, err
}
