package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/functions/oauth/upstream/upstreamtest"
)

const redirectURI = "https://oauth.example.com/connect/notes/callback"

// memory keeps one registration.
type memory struct {
	mu   sync.Mutex
	kept *Client
}

func (m *memory) Find(context.Context, string, string) (Client, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		return Client{}, false, nil
	}
	return *m.kept, true, nil
}

func (m *memory) Keep(_ context.Context, _, _ string, c Client, _ time.Time) (Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = &c
	return c, nil
}

func (m *memory) Forget(context.Context, string, string, Client) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = nil
	return nil
}

// rig is a fake server, and we as its client.
type rig struct {
	*upstreamtest.Server
	t     *testing.T
	us    *Server
	ahead atomic.Int64
	led   url.Values // what the last sign-in began with
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{Server: upstreamtest.Start(t), t: t}
	c := Config{Server: "notes", Resource: r.Resource, Redirect: redirectURI, Document: "http://oauth.example.com/connect/notes/client.json", Egress: r.Egress(),
		Registrations: &memory{}, Now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }}
	for _, edit := range change {
		edit(&c)
	}
	r.us = New(c)
	return r
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) { r.ahead.Add(int64(d)) }

const verifier = "a-verifier-that-is-long-enough-to-be-one-0123456789"

// answer begins a sign-in and returns what the browser brings back.
func (r *rig) answer() (Start, url.Values, error) {
	r.t.Helper()
	to, start, err := r.us.SignInURL(r.t.Context(), "state", "IdFsue1MJJJtybEPX0invmHHuW1I7Ai5LXVlXpENjsk")
	if err != nil {
		return start, nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(must(http.NewRequest("GET", to, nil)))
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	r.led = resp.Request.URL.Query()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound || back.Host != "oauth.example.com" {
		r.t.Fatalf("%s %v", resp.Status, err)
	}
	return start, back.Query(), nil
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}

// connect goes the whole way.
func (r *rig) connect() (Start, Tokens) {
	r.t.Helper()
	start, back, err := r.answer()
	if err != nil {
		r.t.Fatal(err)
	}
	t, err := r.us.Redeem(r.t.Context(), start, back.Get("code"), verifier)
	if err != nil {
		r.t.Fatal(err)
	}
	return start, t
}

func unavailable(err error) bool {
	return errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrRefused)
}
func refused(err error) bool { return errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnavailable) }
