package grant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"path/filepath"
	"testing"

	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/store"
	"mcpgateway/internal/store/bolt"
	"mcpgateway/internal/store/storetest"
)

// renew is a provider.
type renew func(context.Context, provider.Session) (provider.Session, bool, error)

func (f renew) Renew(ctx context.Context, s provider.Session) (provider.Session, bool, error) {
	return f(ctx, s)
}

// meanwhile is a store in which something happens before a write.
type meanwhile struct {
	store.Store
	put, remove func(store.Key)
}

func (m *meanwhile) Put(ctx context.Context, i store.Item) (store.Item, error) {
	if m.put != nil {
		m.put(i.Key)
	}
	return m.Store.Put(ctx, i)
}

func (m *meanwhile) Delete(ctx context.Context, i store.Item) error {
	if m.remove != nil {
		m.remove(i.Key)
	}
	return m.Store.Delete(ctx, i)
}

// rig is two processes with one store. The provider says the same as before, until a test has it say something else.
type rig struct {
	t            *testing.T
	first, other *Grants
	store        *meanwhile // first's
	clock        *storetest.Clock
	session      provider.Session
}

func newRig(t *testing.T) *rig {
	t.Helper()
	clock := storetest.NewClock()
	kept, err := bolt.Open(filepath.Join(t.TempDir(), "db"), clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	sealer, err := seal.New(bytes.Repeat([]byte{1}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	same := renew(func(_ context.Context, s provider.Session) (provider.Session, bool, error) { return s, true, nil })
	r := &rig{t: t, clock: clock, store: &meanwhile{Store: kept}, session: provider.Session{Subject: "alice", Groups: []string{"staff"}, Refresh: "up-1"}}
	r.first = &Grants{Store: r.store, Sealer: sealer, Provider: same, Now: clock.Now}
	r.other = &Grants{Store: kept, Sealer: sealer, Provider: same, Now: clock.Now}
	return r
}

const (
	verifier = "a-verifier"
	issuer   = "https://up.example"
	server   = "https://gw.example/mcp-connect/notes"
)

func asked() Request {
	sum := sha256.Sum256([]byte(verifier))
	return Request{Client: "c", Redirect: "https://c.example/cb", Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Resource: server, Scope: "mcp"}
}

func (r *rig) code() string {
	r.t.Helper()
	code, err := r.first.Begin(r.t.Context(), asked(), issuer, r.session)
	if err != nil {
		r.t.Fatal(err)
	}
	return code
}

func (r *rig) redeem(code string) (string, error) {
	_, token, err := r.first.Redeem(r.t.Context(), code, "c", "", verifier, "")
	return token, err
}

func (r *rig) token() string {
	r.t.Helper()
	token, err := r.redeem(r.code())
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

func (r *rig) refresh(token string) (string, error) {
	_, next, err := r.first.Refresh(r.t.Context(), token, "c", "")
	return next, err
}

func (r *rig) ended(token string) {
	r.t.Helper()
	if _, err := r.refresh(token); !errors.Is(err, ErrInvalid) {
		r.t.Errorf("the grant goes on: %v", err)
	}
}
