package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"mcpgateway/internal/secret"
)

// claims are those of a token that a test changes.
type claims map[string]any

// upstream is an OpenID provider that answers as a test says.
type upstream struct {
	t        *testing.T
	url      string
	key      *ecdsa.PrivateKey
	provider *Provider
	shift    atomic.Int64 // how far the clock is ahead

	issuer    string                      // in the discovery document
	named     any                         // there, authorization_response_iss_parameter_supported
	discovery func(w http.ResponseWriter) // instead of the document
	token     func(w http.ResponseWriter) // instead of what gives tells
	gives     map[string]any              // the token endpoint's answer
	userInfo  func(w http.ResponseWriter) // nil: there is no such endpoint

	mu     sync.Mutex     // a client that gives up leaves its request behind
	form   url.Values     // last sent to the token endpoint
	bearer string         // last sent to userinfo
	asked  map[string]int // how often each path was
}

const clientID, nonce = "us", "a-nonce"

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newUpstream serves a provider that gives alice's tokens, with her groups in the ID token.
func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{t: t, key: newKey(t), asked: map[string]int{}}
	s := httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(s.Close)
	u.url, u.issuer = s.URL, s.URL
	u.provider = New(Config{URL: u.url, ClientID: clientID, Secret: secret.New("us-secret"), RedirectURL: "https://us.example/callback",
		Scopes: []string{"openid", "offline_access"}, Prompt: "consent", GroupsClaim: "groups", Now: u.now})
	u.gives = map[string]any{"access_token": "access-1", "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-1", "id_token": u.idToken(nil)}
	return u
}

func (u *upstream) now() time.Time { return time.Now().Add(time.Duration(u.shift.Load())) }

func (u *upstream) pass(d time.Duration) { u.shift.Add(int64(d)) }

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	u.mu.Lock()
	u.asked[r.URL.Path]++
	switch r.URL.Path {
	case "/token":
		u.form = r.PostForm
	case "/userinfo":
		u.bearer = r.Header.Get("Authorization")
	}
	u.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		if u.discovery != nil {
			u.discovery(w)
			return
		}
		document := map[string]any{"issuer": u.issuer, "authorization_endpoint": u.url + "/authorize", "token_endpoint": u.url + "/token",
			"jwks_uri": u.url + "/jwks", "id_token_signing_alg_values_supported": []string{"ES256"}}
		if u.named != nil {
			document["authorization_response_iss_parameter_supported"] = u.named
		}
		if u.userInfo != nil {
			document["userinfo_endpoint"] = u.url + "/userinfo"
		}
		u.json(w, document)
	case "/jwks":
		u.json(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: u.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	case "/token":
		if u.token != nil {
			u.token(w)
			return
		}
		u.json(w, u.gives)
	case "/userinfo":
		u.userInfo(w)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (u *upstream) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// idToken is alice's, with some claims changed; nil removes one.
func (u *upstream) idToken(change claims) string {
	u.t.Helper()
	return u.signed(u.key, change)
}

func (u *upstream) signed(key *ecdsa.PrivateKey, change claims) string {
	u.t.Helper()
	all := claims{"iss": u.url, "sub": "alice", "aud": clientID, "nonce": nonce, "iat": u.now().Unix(), "exp": u.now().Add(5 * time.Minute).Unix(),
		"groups": []string{"staff"}, "name": "Alice"}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(map[string]any(all)).Serialize()
	if err != nil {
		u.t.Fatal(err)
	}
	return text
}

// says has userinfo answer so.
func (u *upstream) says(status int, body string) {
	u.userInfo = answer(status, body)
}

func answer(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}
