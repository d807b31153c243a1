package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	home     = "https://issuer.example"
	partner  = "https://partner.example/realms/a"
	resource = "https://gateway.example/mcp-connect/notes"
)

// testKey signs tokens.
type testKey struct {
	id  string
	alg string
	key crypto.Signer
}

func newES256(t testing.TB, id string) testKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{id, "ES256", key}
}

func newRS256(t testing.TB, id string, bits int) testKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{id, "RS256", key}
}

func newEdDSA(t testing.TB, id string) testKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{id, "EdDSA", key}
}

// public is the key as an issuer publishes it.
func (k testKey) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.key.Public(), KeyID: k.id, Algorithm: k.alg, Use: "sig"}
}

func (k testKey) sign(t testing.TB, input string) []byte {
	t.Helper()
	sum := sha256.Sum256([]byte(input))
	switch key := k.key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig
	case *rsa.PrivateKey:
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	default:
		return ed25519.Sign(key.(ed25519.PrivateKey), []byte(input))
	}
}

type object = map[string]any

// header and body are those of a good token.
func (k testKey) header() object { return object{"alg": k.alg, "kid": k.id, "typ": "at+jwt"} }

func body(now time.Time) object {
	return object{
		"iss": home, "sub": "alice", "aud": resource, "client_id": "editor", "groups": []string{"engineering"},
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// token is a good token with changes; a nil value takes a claim away.
func (k testKey) token(t testing.TB, changes object) string {
	return k.mint(t, k.header(), with(body(time.Now()), changes))
}

func (k testKey) mint(t testing.TB, header, claims object) string {
	t.Helper()
	return k.mintText(t, encode(t, header), encode(t, claims))
}

func (k testKey) mintText(t testing.TB, header, claims []byte) string {
	t.Helper()
	input := segment(header) + "." + segment(claims)
	return input + "." + segment(k.sign(t, input))
}

func with(o, changes object) object {
	o = maps.Clone(o)
	for name, v := range changes {
		if v == nil {
			delete(o, name)
		} else {
			o[name] = v
		}
	}
	return o
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// fakeIssuers is a network with issuers on it.
type fakeIssuers struct {
	mu      sync.Mutex
	keys    map[string][]jose.JSONWebKey // by issuer; one without is unknown
	down    bool
	hang    chan struct{} // requests wait until it is closed, if not nil
	fetches map[string]int
	asked   []string // every URL
}

func newFakeIssuers(keys map[string][]jose.JSONWebKey) *fakeIssuers {
	return &fakeIssuers{keys: keys, fetches: make(map[string]int)}
}

func (f *fakeIssuers) RoundTrip(r *http.Request) (*http.Response, error) {
	address := r.URL.String()
	f.mu.Lock()
	hang, down := f.hang, f.down
	f.asked = append(f.asked, address)
	f.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if down {
		return nil, errors.New("no route to host")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if issuer, ok := strings.CutSuffix(address, "/.well-known/openid-configuration"); ok && f.keys[issuer] != nil {
		return answer(object{"issuer": issuer, "jwks_uri": issuer + "/keys"}), nil
	}
	if issuer, ok := strings.CutSuffix(address, "/keys"); ok && f.keys[issuer] != nil {
		f.fetches[issuer]++
		return answer(jose.JSONWebKeySet{Keys: f.keys[issuer]}), nil
	}
	return &http.Response{Status: "404 Not Found", StatusCode: 404, Body: http.NoBody}, nil
}

func answer(v any) *http.Response {
	b, err := json.Marshal(v)
	if err != nil {
		return &http.Response{Status: "500 " + err.Error(), StatusCode: 500, Body: http.NoBody}
	}
	return &http.Response{Status: "200 OK", StatusCode: 200, Body: io.NopCloser(bytes.NewReader(b))}
}

func (f *fakeIssuers) publish(issuer string, keys ...testKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[issuer] = []jose.JSONWebKey{}
	for _, k := range keys {
		f.keys[issuer] = append(f.keys[issuer], k.public())
	}
}

func (f *fakeIssuers) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fakeIssuers) fetched(issuer string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fetches[issuer]
}

func (f *fakeIssuers) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func bound(url string) Issuer { return Issuer{URL: url, Audiences: []string{"{resource}"}} }

// newTestVerifier accepts tokens of the issuers given; those without a change are bound to the resource.
func newTestVerifier(t testing.TB, net *fakeIssuers, issuers ...Issuer) *Verifier {
	t.Helper()
	v, err := NewVerifier(Config{
		Issuers:    issuers,
		HTTPClient: &http.Client{Transport: net},
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
