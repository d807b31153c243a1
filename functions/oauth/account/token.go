package account

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/store"
)

// Token is an access token of a person's account at a server, and how long it is good. refused is the SHA-256 of one that the
// server did not take any more; nil where there is none.
//
// Whoever finds that it must be renewed does so, here or in another process, and the others meanwhile use what is still good
// or wait. ErrNone is that there is no account, or that it has ended: renewing was refused. While nobody can be asked the error
// is upstream.ErrUnavailable, and the account is left as it is.
func (a *Accounts) Token(ctx context.Context, p grant.Person, server string, refused []byte) (secret.Text, time.Duration, error) {
	for range turns {
		i, kept, had, err := a.read(ctx, p, server)
		if err != nil {
			return secret.Text{}, 0, err
		}
		now := a.Now()
		left := kept.Ends.Sub(now)
		fresh := left > min(margin, kept.Ends.Sub(kept.Renewed)/4) && !kept.refusedNow(had, refused, now)
		switch {
		case fresh, left > 0 && (had.Refresh == "" || now.Before(kept.Busy)):
			return secret.New(had.Access), left, nil
		case had.Refresh == "":
			return secret.Text{}, 0, ErrNone
		case now.Before(kept.Busy):
			if err := wait(ctx); err != nil {
				return secret.Text{}, 0, err
			}
			continue
		}
		busy := kept
		busy.Busy = now.Add(busyFor)
		if i, err = a.write(ctx, i, busy); errors.Is(err, store.ErrConflict) {
			continue // somebody else was first
		} else if err != nil {
			return secret.Text{}, 0, err
		}
		renewed, life, err := a.renew(ctx, server, i, kept, had)
		if errors.Is(err, store.ErrConflict) {
			continue // it was connected anew, or removed, meanwhile
		}
		return renewed, life, err
	}
	return secret.Text{}, 0, fmt.Errorf("%w: somebody else is renewing the token", upstream.ErrUnavailable)
}

// refusedNow tells whether the token is the one that a server refused, and not just a moment old: a server that takes none costs
// its authorization server no more.
func (kept Account) refusedNow(had tokens, refused []byte, now time.Time) bool {
	sum := hash(had.Access)
	return subtle.ConstantTimeCompare(sum[:], refused) == 1 && !now.Before(kept.Renewed.Add(renewAfter))
}

func wait(ctx context.Context) error {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew asks for new tokens and keeps them. The account is ours alone meanwhile. A caller who leaves does not end it: the one
// refresh token may be used up already, and the new one must be kept. For the same reason the envelope is made first.
func (a *Accounts) renew(ctx context.Context, server string, i store.Item, kept Account, had tokens) (secret.Text, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), busyFor-5*time.Second)
	defer cancel()
	e, err := envelope.New(ctx, a.KEK, labelOf(i.Key))
	var t upstream.Tokens
	if err == nil {
		t, err = a.Servers[server].Refresh(ctx, had.Issuer, had.Client, secret.New(had.Refresh))
	}
	switch {
	case errors.Is(err, upstream.ErrRefused):
		if failed := a.Store.Delete(ctx, i); failed != nil {
			return secret.Text{}, 0, failed
		}
		return secret.Text{}, 0, errors.Join(ErrNone, err)
	case err != nil:
		_, failed := a.write(ctx, i, kept) // nobody is busy
		if left := kept.Ends.Sub(a.Now()); left > 0 {
			return secret.New(had.Access), left, failed
		}
		return secret.Text{}, 0, errors.Join(err, failed)
	}
	return t.Access, t.Life, a.keep(ctx, server, i, kept, had, t, e)
}

// keep keeps renewed tokens, as long as there is time to try. Tokens for which there is no place any more are ended.
func (a *Accounts) keep(ctx context.Context, server string, i store.Item, kept Account, had tokens, t upstream.Tokens, e *envelope.Envelope) error {
	err := a.put(ctx, i, kept, had, t, e)
	for err != nil && !errors.Is(err, store.ErrConflict) && wait(ctx) == nil {
		err = a.put(ctx, i, kept, had, t, e)
	}
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	var there Account
	now, failed := a.Store.Get(ctx, i.Key)
	if failed == nil && json.Unmarshal(now.Value, &there) == nil && bytes.Equal(there.Sealed.Key, e.Key()) {
		return nil // an attempt whose answer was lost
	}
	if ended := a.Servers[server].Revoke(ctx, had.Issuer, had.Client, t); ended != nil {
		err = errors.Join(err, ended)
	}
	return err
}
