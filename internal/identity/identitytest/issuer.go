// Package identitytest makes issuers and tokens for tests. The tokens are signed for real; nobody is signed in.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"mcpgateway/internal/identity"
)

// Issuer is an issuer with one ES256 key.
type Issuer struct {
	Name string
	URL  string
	// Close has nothing answer at URL any more.
	Close func()
	key   *ecdsa.PrivateKey
}

// New makes an issuer. Nothing listens at its URL: verifiers get its key by the snapshot in Config.
func New(t testing.TB, name, url string) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{Name: name, URL: url, Close: func() {}, key: key}
}

// Listen makes an issuer that serves its discovery document and its keys until the test ends.
func Listen(t testing.TB, name string) *Issuer {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i := New(t, name, server.URL)
	i.Close = server.Close
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "authorization_endpoint": i.URL + "/authorize",
			"token_endpoint": i.URL + "/token", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(i.Config(t).Keys) })
	return i
}

// Config is how a platform names the issuer; its tokens must be bound to the resource.
func (i *Issuer) Config(t testing.TB) identity.Issuer {
	t.Helper()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return identity.Issuer{Name: i.Name, URL: i.URL, Audiences: []string{"{resource}"}, GroupsClaim: "groups", Keys: keys}
}

// Claims are the claims of a token.
type Claims map[string]any

// PublicKey is the key in the form in which keys are often published (PKIX, DER): what a confused verifier would take
// for a shared secret.
func (i *Issuer) PublicKey(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Token signs an access token of subject for resource that is good for an hour; more replaces its claims, those that
// are nil are left out.
func (i *Issuer) Token(t testing.TB, subject, resource string, groups []string, more Claims) string {
	t.Helper()
	now := time.Now()
	claims := Claims{"iss": i.URL, "sub": subject, "aud": resource, "groups": groups, "client_id": "test",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, v := range more {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return i.Sign(t, "at+jwt", claims)
}

// Sign signs any claims as a token of any type.
func (i *Issuer) Sign(t testing.TB, typ jose.ContentType, claims Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}},
		(&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
