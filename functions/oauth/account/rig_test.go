package account

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/upstream"
	"mcpgateway/functions/oauth/upstream/upstreamtest"
	"mcpgateway/internal/store"
	"mcpgateway/internal/store/bolt"
)

var (
	alice = grant.Person{Issuer: "https://id.example.com", Subject: "alice"}
	bob   = grant.Person{Issuer: "https://id.example.com", Subject: "bob"}
)

// rig is a fake server, at which people have accounts that are kept here: as two servers of the catalog's.
type rig struct {
	*Accounts
	t     *testing.T
	fake  *upstreamtest.Server
	kek   *switched
	store *failing
	ahead atomic.Int64
}

// switched is a key-encryption key that can be out of reach.
type switched struct {
	envelope.KEK
	off atomic.Bool
}

var errOff = errors.New("out of reach")

func (s *switched) NewKey(ctx context.Context, l envelope.Label) (key, wrapped []byte, err error) {
	if s.off.Load() {
		return nil, nil, errOff
	}
	return s.KEK.NewKey(ctx, l)
}

// failing is a store whose next writes fail.
type failing struct {
	store.Store
	writes atomic.Int32 // that fail, after as many that do not
	good   atomic.Int32
	lost   atomic.Bool // they are written all the same, and only the answer is lost
}

func (f *failing) Put(ctx context.Context, i store.Item) (store.Item, error) {
	if f.writes.Load() == 0 || f.good.Add(-1) >= 0 {
		return f.Store.Put(ctx, i)
	}
	f.writes.Add(-1)
	if f.lost.Load() {
		_, _ = f.Store.Put(ctx, i)
	}
	return i, errOff
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, fake: upstreamtest.Start(t)}
	kept, err := bolt.Open(filepath.Join(t.TempDir(), "db"), r.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	r.store = &failing{Store: kept}
	r.Accounts = r.process(bytes.Repeat([]byte{7}, 32))
	return r
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// pass lets time pass.
func (r *rig) pass(d time.Duration) { r.ahead.Add(int64(d)) }

// process is one more authorization server of ours, of those that share the store.
func (r *rig) process(key []byte) *Accounts {
	r.t.Helper()
	file, err := envelope.NewFile(key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.kek = &switched{KEK: file}
	a := &Accounts{Store: r.store, KEK: r.kek, Servers: map[string]*upstream.Server{}, Now: r.now}
	for _, server := range []string{"notes", "other"} {
		a.Servers[server] = upstream.New(upstream.Config{Server: server, Resource: r.fake.Resource, Egress: r.fake.Egress(), Now: r.now,
			Redirect: "https://oauth.example.com/connect/" + server + "/callback", Registrations: &Registrations{Store: r.store, KEK: r.kek}})
	}
	return a
}

// connect connects a person's account, and returns the access token.
func (r *rig) connect(p grant.Person, server string) string {
	r.t.Helper()
	verifier := oauth2.GenerateVerifier()
	to, start, err := r.Servers[server].SignInURL(r.t.Context(), "state", oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequest("GET", to, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		r.t.Fatal(err)
	}
	t, err := r.Servers[server].Redeem(r.t.Context(), start, back.Query().Get("code"), verifier)
	if err == nil {
		err = r.Connect(r.t.Context(), p, server, start, t)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return t.Access.Reveal()
}

func (r *rig) token(p grant.Person, server string) (string, error) {
	text, life, err := r.Token(r.t.Context(), p, server, nil)
	if err == nil && life <= 0 {
		r.t.Errorf("a token that is good for %v", life)
	}
	return text.Reveal(), err
}

// good fails unless the person has a token that the server takes.
func (r *rig) good(when string, p grant.Person, server string) string {
	r.t.Helper()
	text, err := r.token(p, server)
	if _, good := r.fake.Knows(text); err != nil || !good {
		r.t.Errorf("%s: %q, %v", when, text, err)
	}
	return text
}
