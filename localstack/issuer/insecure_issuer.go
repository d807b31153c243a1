// Package issuer is the development issuer: an OpenID provider for one machine that lets whoever asks be any of its users,
// so that the whole system can be tried, and tested, without an identity provider.
//
// It authenticates nobody, and so is insecure by intent: it serves callers on the same machine only, and no platform
// but the one that mcpgateway run writes trusts it. In a browser it has a page on which one chooses who to be; its only
// client there is the authorization server. Programs are given tokens without any page.
package issuer

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ClientID is the client_id claim of every token.
const ClientID = "insecure-development-client"

// User is someone whom tokens can be had for.
type User struct {
	Name   string   // the sub claim
	Groups []string // the groups claim
}

// DefaultUsers are the people of the sample catalog.
func DefaultUsers() []User {
	return []User{
		{Name: "alice", Groups: []string{"engineering"}},
		{Name: "bob", Groups: []string{"sales"}},
		{Name: "carol"},
		{Name: "dana", Groups: []string{"security"}}, // reads the records of calls
	}
}

// Config says where the issuer is and whom it speaks for.
type Config struct {
	// URL is the issuer identifier: the origin at which the handler is served, http on a loopback address.
	URL string
	// KeyFile holds the signing key. It is made, readable by its owner only, where it does not exist; as long as it
	// stays, tokens outlive a restart.
	KeyFile string
	// Users are the people whom tokens can be had for; at least one.
	Users []User
	// RedirectURI is where its one client, AppID, has browsers sent back to. Where empty it has no login page.
	RedirectURI string
	// Now is the clock; time.Now where nil.
	Now func() time.Time
}

// InsecureIssuer is the development issuer. It is an http.Handler, to be served at its URL.
type InsecureIssuer struct {
	url     *url.URL
	users   []User
	now     func() time.Time
	keys    jose.JSONWebKeySet
	private jose.JSONWebKey
	signer  jose.Signer
	mux     *http.ServeMux
	login   login
}

// NewInsecureIssuer makes the issuer and, where there is none yet, its key.
func NewInsecureIssuer(c Config) (*InsecureIssuer, error) {
	u, err := parseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("issuer URL %q: %w", c.URL, err)
	}
	if len(c.Users) == 0 {
		return nil, errors.New("the issuer has no users")
	}
	if c.KeyFile == "" {
		return nil, errors.New("the issuer has no key file")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	key, err := loadKey(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	i := &InsecureIssuer{url: u, users: slices.Clone(c.Users), now: c.Now, mux: http.NewServeMux()}
	if err := i.use(key); err != nil {
		return nil, fmt.Errorf("use signing key: %w", err)
	}
	i.mux.HandleFunc("GET /.well-known/openid-configuration", i.serveMetadata)
	i.mux.HandleFunc("GET /.well-known/oauth-authorization-server", i.serveMetadata)
	i.mux.HandleFunc("GET "+keysPath, i.serveKeys)
	i.mux.HandleFunc("POST "+tokenPath, i.serveToken)
	i.login = login{redirectURI: c.RedirectURI, used: map[string]time.Time{}}
	i.mux.HandleFunc("GET "+authorizePath, i.serveLogin)
	i.mux.HandleFunc("POST "+authorizePath, i.serveChoice)
	i.mux.HandleFunc("POST "+redeemPath, i.serveRedeem)
	i.mux.HandleFunc("GET "+userInfoPath, i.serveUserInfo)
	return i, nil
}

// parseURL takes a bare origin (the form that suits all clients) on this machine only.
func parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme+"://"+u.Host != address || u.Scheme != "http" || !isLoopback(u.Hostname()) {
		return nil, errors.New("it is not an http origin on this machine, like http://127.0.0.1:8081")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func (i *InsecureIssuer) use(key *ecdsa.PrivateKey) error {
	public := jose.JSONWebKey{Key: key.Public(), Algorithm: string(jose.ES256), Use: "sig"}
	id, err := keyID(public)
	if err != nil {
		return err
	}
	public.KeyID = id
	i.keys.Keys = []jose.JSONWebKey{public}
	i.private = jose.JSONWebKey{Key: key, KeyID: id}
	i.signer, err = i.signerFor("at+jwt")
	return err
}

// signerFor makes a signer of JWTs of a kind.
func (i *InsecureIssuer) signerFor(kind string) (jose.Signer, error) {
	return jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.private}, (&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
}

// URL is the issuer identifier.
func (i *InsecureIssuer) URL() string { return i.url.String() }

// Users are the people whom tokens can be had for.
func (i *InsecureIssuer) Users() []User { return slices.Clone(i.users) }

// claims are those of RFC 9068 section 2.2, and the groups.
type claims struct {
	jwt.Claims
	ClientID string   `json:"client_id"`
	Groups   []string `json:"groups,omitempty"`
}

// Token makes an access token (RFC 9068) of the user for the resource, the URL of one server, valid for ttl.
func (i *InsecureIssuer) Token(user, resource string, ttl time.Duration) (string, error) {
	n := slices.IndexFunc(i.users, func(u User) bool { return u.Name == user })
	if n < 0 {
		return "", fmt.Errorf("user %q is unknown", user)
	}
	now := i.now()
	token, err := jwt.Signed(i.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:   i.URL(),
			Subject:  user,
			Audience: jwt.Audience{resource},
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(ttl)),
			ID:       rand.Text(),
		},
		ClientID: ClientID,
		Groups:   i.users[n].Groups,
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// ServeHTTP implements http.Handler.
//
// The Host must be ours: else a web page whose name points to this machine (DNS rebinding) could have tokens made and
// read them.
func (i *InsecureIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host != i.url.Host {
		writeError(w, http.StatusMisdirectedRequest, "invalid_request", "this is "+i.URL())
		return
	}
	i.mux.ServeHTTP(w, r)
}

// serveMetadata answers with one document for OpenID Connect Discovery section 3 and RFC 8414 section 2.
func (i *InsecureIssuer) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                i.URL(),
		"jwks_uri":                              i.URL() + keysPath,
		"authorization_endpoint":                i.URL() + authorizePath,
		"token_endpoint":                        i.URL() + redeemPath,
		"userinfo_endpoint":                     i.URL() + userInfoPath,
		"grant_types_supported":                 []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported": []string{"none"},
		"code_challenge_methods_supported":      []string{"S256"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
	})
}

func (i *InsecureIssuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, i.keys)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has gone
}
