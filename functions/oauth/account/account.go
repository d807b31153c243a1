// Package account keeps what people's accounts at MCP servers of others gave: tokens, for one person and one server, encrypted
// with a key each. It has them renewed, once however many ask.
//
// Whose token somebody may have is decided by who asks here; the protocol is package upstream's.
package account

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/store"
)

// ErrNone says that a person has no account at a server, or no longer.
var ErrNone = errors.New("account: there is none")

// How long what is kept.
const (
	unusedLife = 180 * 24 * time.Hour // of an account whose tokens nobody renews
	margin     = time.Minute          // before its end, at most, that a token is renewed
	busyFor    = 30 * time.Second     // longer than a renewal can take
	turns      = 60                   // that somebody waits for another renewal
	pause      = 250 * time.Millisecond
	renewAfter = 10 * time.Second // at the least, whatever a server refuses
)

// Account is what is kept of an account.
type Account struct {
	Server string
	Issuer string // to show
	Made   time.Time
	// Renewed, Ends and Busy are of the tokens: when they were had, when the access token ends, until when somebody renews them.
	Renewed, Ends, Busy time.Time
	Sealed              envelope.Sealed // tokens
}

// tokens are what is sealed, with all that says where they may go.
type tokens struct{ Access, Refresh, Issuer, Client, Resource string }

// Accounts keeps accounts. Its fields are required.
type Accounts struct {
	Store   store.Store
	KEK     envelope.KEK
	Servers map[string]*upstream.Server // by id of the entry
	Now     func() time.Time
}

const kind = "account/"

func keyOf(p grant.Person, server string) store.Key {
	return store.Key{Part: p.AccountsPart(), Sort: kind + server}
}

// labelOf binds a record to its place: whoever writes to the store cannot make it somebody else's, or another server's.
func labelOf(k store.Key) envelope.Label { return envelope.Label{"part": k.Part, "sort": k.Sort} }

// Connect keeps the tokens of a person's account at a server, instead of those that were there.
func (a *Accounts) Connect(ctx context.Context, p grant.Person, server string, start upstream.Start, t upstream.Tokens) error {
	key := keyOf(p, server)
	e, err := envelope.New(ctx, a.KEK, labelOf(key))
	if err != nil {
		return err
	}
	now := a.Now()
	kept := Account{Server: server, Issuer: start.Issuer, Made: now}
	had := tokens{Issuer: start.Issuer, Client: start.Client, Resource: a.Servers[server].Resource}
	for range 5 {
		item, err := a.Store.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			item, err = store.Item{Key: key}, nil
		}
		if err != nil {
			return err
		}
		if err = a.put(ctx, item, kept, had, t, e); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("keep an account: %w", store.ErrConflict)
}

// put keeps new tokens.
func (a *Accounts) put(ctx context.Context, i store.Item, kept Account, had tokens, t upstream.Tokens, e *envelope.Envelope) error {
	now := a.Now()
	had.Access, had.Refresh = t.Access.Reveal(), t.Refresh.Reveal()
	plain, err := json.Marshal(had)
	if err != nil {
		return err
	}
	kept.Sealed, kept.Renewed, kept.Ends, kept.Busy = e.Seal(plain), now, now.Add(t.Life), time.Time{}
	if i.Expires = kept.Ends; had.Refresh != "" {
		i.Expires = now.Add(unusedLife)
	}
	_, err = a.write(ctx, i, kept)
	return err
}

func (a *Accounts) write(ctx context.Context, i store.Item, kept Account) (_ store.Item, err error) {
	if i.Value, err = json.Marshal(kept); err != nil {
		return i, err
	}
	return a.Store.Put(ctx, i)
}

// List are a person's accounts, also at servers that are not configured any more.
func (a *Accounts) List(ctx context.Context, p grant.Person) (list []Account, err error) {
	items, err := a.Store.List(ctx, p.AccountsPart())
	if err != nil {
		return nil, err
	}
	for _, i := range items {
		var kept Account
		if err := json.Unmarshal(i.Value, &kept); err != nil {
			return nil, err
		}
		if strings.HasPrefix(i.Sort, kind) {
			list = append(list, kept)
		}
	}
	return list, nil
}

// read finds an account and opens its tokens. What was encrypted with another key, or is for a server that is elsewhere now, is
// none: connecting anew replaces it.
func (a *Accounts) read(ctx context.Context, p grant.Person, server string) (i store.Item, kept Account, had tokens, err error) {
	i, err = a.Store.Get(ctx, keyOf(p, server))
	if errors.Is(err, store.ErrNotFound) {
		return i, kept, had, ErrNone
	}
	if err == nil {
		err = json.Unmarshal(i.Value, &kept)
	}
	if err != nil {
		return i, kept, had, err
	}
	plain, err := envelope.Open(ctx, a.KEK, labelOf(i.Key), kept.Sealed)
	if errors.Is(err, envelope.ErrForeign) {
		return i, kept, had, errors.Join(ErrNone, err)
	}
	if err == nil {
		err = json.Unmarshal(plain, &had)
	}
	if at := a.Servers[server]; err == nil && (at == nil || had.Resource != at.Resource) {
		err = ErrNone
	}
	return i, kept, had, err
}

// Has tells whether a person has an account at a server.
func (a *Accounts) Has(ctx context.Context, p grant.Person, server string) (bool, error) {
	_, _, _, err := a.read(ctx, p, server)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	return err == nil, err
}

// Remove forgets an account, and ends its tokens where they are from, if that is offered. What keeps it from that is unended: the
// tokens are forgotten all the same.
func (a *Accounts) Remove(ctx context.Context, p grant.Person, server string) (unended, err error) {
	for range 5 {
		i, _, had, err := a.read(ctx, p, server)
		if i.Version == 0 {
			if errors.Is(err, ErrNone) {
				return nil, nil
			}
			return nil, err
		}
		unended = err // it goes all the same
		if err = a.Store.Delete(ctx, i); errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil || unended != nil {
			return unended, err
		}
		return a.Servers[server].Revoke(ctx, had.Issuer, had.Client, had.pair()), nil
	}
	return nil, fmt.Errorf("remove an account: %w", store.ErrConflict)
}

func (t tokens) pair() upstream.Tokens {
	pair := upstream.Tokens{Access: secret.New(t.Access)}
	if t.Refresh != "" {
		pair.Refresh = secret.New(t.Refresh)
	}
	return pair
}

// hash is how a token is named that must not be told.
func hash(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
