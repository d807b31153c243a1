package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mcpgateway/internal/store/bolt"
	"mcpgateway/internal/store/storetest"
)

func TestHasSecret(t *testing.T) {
	if (&Client{}).HasSecret("") || (&Client{}).HasSecret("x") {
		t.Error("no secret is kept, and one is taken")
	}
}

func TestMay(t *testing.T) {
	if c := (&Client{Grants: []string{GrantCode}}); !c.May(GrantCode) || c.May(GrantCredentials) || (&Client{}).May("") {
		t.Error("it may what it may not, or the other way round")
	}
}

// keySet is a set of n keys, as JSON.
func keySet(t *testing.T, n int, private bool) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for range n {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k := jose.JSONWebKey{Key: key.Public()}
		if private {
			k.Key = key
		}
		set.Keys = append(set.Keys, k)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		good bool
	}{
		"one": {keySet(t, 1, false), true}, "as many as may be": {keySet(t, maxKeys, false), true}, "too many": {keySet(t, maxKeys+1, false), false},
		"private": {keySet(t, 1, true), false}, "none": {`{"keys":[]}`, false}, "no set": {`[]`, false}, "no JSON": {`x`, false},
		"symmetric": {`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, false}, "no key": {`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, false},
	} {
		if _, err := ParseKeys([]byte(tc.text)); (err == nil) != tc.good || err != nil && !errors.Is(err, ErrMetadata) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// testRegistry counts the writes.
func testRegistry(t *testing.T) (*Registry, *storetest.Clock) {
	t.Helper()
	clock := storetest.NewClock()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "db"), clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Registry{Store: s, Now: clock.Now}, clock
}

func metadata(t *testing.T, text string) Metadata {
	t.Helper()
	m, err := ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What a client is told is what it is: nothing is promised that is not kept.
func TestRegistrationTells(t *testing.T) {
	r, _ := testRegistry(t)
	got, err := r.Register(t.Context(), metadata(t, `{"client_id":"https://claude.ai/x","redirect_uris":["cursor://x/cb"],"grant_types":["authorization_code","implicit"],
		"response_types":["code","token"],"scope":"admin","token_endpoint_auth_method":"private_key_jwt","jwks":`+keySet(t, 1, false)+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID == "https://claude.ai/x" || got.ClientID != "" || got.Scope != "" || got.Secret != "" || got.SecretEnds != nil ||
		strings.Join(got.GrantTypes, " ") != "authorization_code refresh_token" || strings.Join(got.ResponseTypes, " ") != "code" {
		t.Errorf("%+v", got)
	}
	c, err := r.find(t.Context(), got.ID)
	if err != nil || c.Assured || c.Auth != AuthKeyJWT || len(c.Keys.Keys) != 1 || c.May(GrantCredentials) {
		t.Errorf("%+v, %v", c, err)
	}
}

// A client that is changed keeps its secret as long as it has use for one.
func TestSecretOfChangedClient(t *testing.T) {
	r, _ := testRegistry(t)
	first, err := r.Register(t.Context(), metadata(t, `{"redirect_uris":["cursor://x/cb"]}`))
	if err != nil || first.Secret == "" {
		t.Fatal(first.Secret, err)
	}
	change := func(method string) Registration {
		t.Helper()
		m := metadata(t, `{"redirect_uris":["cursor://x/cb"],"token_endpoint_auth_method":"`+method+`"}`)
		now, err := r.Manage(t.Context(), first.ID, first.AccessToken, &m, false)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	good := func(secret string) bool {
		t.Helper()
		c, err := r.find(t.Context(), first.ID)
		if err != nil {
			t.Fatal(err)
		}
		return c.HasSecret(secret)
	}
	if now := change(AuthPost); now.Secret != "" || !good(first.Secret) {
		t.Error("the secret has changed")
	}
	if change(AuthNone); good(first.Secret) {
		t.Error("a public client keeps its secret")
	}
	if now := change(AuthBasic); now.Secret == "" || now.Secret == first.Secret || good(first.Secret) || !good(now.Secret) {
		t.Error("there is no new secret")
	}
	if _, err := r.Manage(t.Context(), first.ID, first.AccessToken+"x", nil, false); !errors.Is(err, ErrUnknown) {
		t.Errorf("another token: %v", err)
	}
	if _, err := r.Manage(t.Context(), first.ID, "", nil, true); !errors.Is(err, ErrUnknown) {
		t.Errorf("no token: %v", err)
	}
}

// Use renews a registration, which costs a write a day and not one for each refresh.
func TestUsed(t *testing.T) {
	r, clock := testRegistry(t)
	made, err := r.Register(t.Context(), metadata(t, `{"redirect_uris":["cursor://x/cb"],"token_endpoint_auth_method":"none"}`))
	if err != nil {
		t.Fatal(err)
	}
	version := func() int64 {
		t.Helper()
		i, err := r.Store.Get(t.Context(), itemKey(made.ID))
		if err != nil {
			t.Fatal(err)
		}
		return i.Version
	}
	for n, want := range []int64{2, 2, 3} {
		if err := r.Used(t.Context(), &Client{ID: made.ID}); err != nil || version() != want {
			t.Errorf("use %d: written %d times, %v", n, version(), err)
		}
		clock.Pass(13 * time.Hour)
	}
	clock.Pass(89 * 24 * time.Hour)
	if _, err := r.find(t.Context(), made.ID); err != nil {
		t.Errorf("after 89 days: %v", err)
	}
	clock.Pass(24 * time.Hour)
	if _, err := r.find(t.Context(), made.ID); !errors.Is(err, ErrUnknown) {
		t.Errorf("after 90 days: %v", err)
	}
	for _, id := range []string{"known", "https://claude.ai/x", registeredPrefix + strings.Repeat("x", 1000)} {
		if err := r.Used(t.Context(), &Client{ID: id}); err != nil {
			t.Errorf("%.40s: %v", id, err)
		}
	}
}

// Whatever somebody registers, the client that comes of it is one of those that there can be, and the same when it is read again.
func FuzzRegistration(f *testing.F) {
	for _, seed := range []string{`{"redirect_uris":["http://127.0.0.1/cb"],"client_name":"C"}`, `{"redirect_uris":["cursor://x/cb"],"token_endpoint_auth_method":"none"}`,
		`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"client_secret_post","grant_types":["implicit"]}`,
		`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC","crv":"P-256",` +
			`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMetadata(data)
		if err != nil {
			return
		}
		out, reg := Registration{ID: "dcr_x"}, registration{}
		if reg.become(m, &out) != nil {
			return
		}
		c, secret := reg.Client, reg.Client.Auth == AuthBasic || reg.Client.Auth == AuthPost
		if c.ID != "dcr_x" || !slices.Contains(AuthMethods(), c.Auth) || secret != (out.Secret != "") || secret != c.HasSecret(out.Secret) || (c.Auth == AuthKeyJWT) != (c.Keys != nil) {
			t.Fatalf("%+v, told %+v", c, out)
		}
		for _, uri := range c.RedirectURIs {
			if CheckRedirect(uri) != nil || !c.Redirects(uri) {
				t.Fatalf("redirects to %q", uri)
			}
		}
		text, err := json.Marshal(reg)
		var again registration
		if err != nil || json.Unmarshal(text, &again) != nil {
			t.Fatalf("%s cannot be kept: %v", text, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(text) {
			t.Fatalf("%s is kept as %s", text, twice)
		}
	})
}
