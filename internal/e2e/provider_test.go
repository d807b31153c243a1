package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

//go:embed testdata/openid-provider.mjs
var providerScript []byte

// The secrets of the provider's clients, as its script has them.
const (
	personSecret = "person-secret"
	shimSecret   = "shim-secret: with %, + and ~"
)

// provider is npm oidc-provider, as a process.
type provider struct {
	peer
	url, port string
	key       string // private key of the client "shim-key", PEM
	users     string // file of who can sign in
}

// startProvider installs the provider where it is not yet, which needs the network. redirect is where people go on to who sign
// in there for the gateway.
func startProvider(t *testing.T, redirect string) *provider {
	t.Helper()
	if os.Getenv("TEST_NETWORK") == "" {
		t.Skip("it needs npm's oidc-provider from the network: TEST_NETWORK is not set")
	}
	node, script := installPeer(t, "openid-provider.mjs", providerScript, peers.OpenIDProvider)
	p := &provider{peer: peer{t: t, log: filepath.Join(t.TempDir(), "provider.log")}, users: filepath.Join(t.TempDir(), "users.json")}
	p.setUsers(map[string][]string{"alice": {"engineering"}, "bob": {"sales"}, "revoked": {}, "factor": {}})
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p.url = "http://" + address
	_, p.port, _ = net.SplitHostPort(address)
	p.start(address, node, script, p.port, p.newKey(), p.users, redirect)
	return p
}

// newKey makes the key of the client "shim-key" and returns its public half as JWK.
func (p *provider) newKey() string {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	public, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), Use: "sig", Algorithm: "ES256"})
	if err != nil {
		p.t.Fatal(err)
	}
	return string(public)
}

// setUsers says who can sign in from now on, with which groups.
func (p *provider) setUsers(users map[string][]string) {
	p.t.Helper()
	text, err := json.Marshal(users)
	if err == nil {
		err = os.WriteFile(p.users, text, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// exchanges counts the token exchanges that succeeded.
func (p *provider) exchanges() int {
	return strings.Count(p.said(), "granted urn:ietf:params:oauth:grant-type:token-exchange")
}

// token signs a user in and returns an access token.
func (p *provider) token(user, resource, scope string) string {
	p.t.Helper()
	resp, err := http.PostForm(p.url+"/token", url.Values{"grant_type": {"urn:mcpgateway:test:insecure-user"}, "client_id": {"person"},
		"client_secret": {personSecret}, "user": {user}, "resource": {resource}, "scope": {scope}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(body, &got) != nil || got.AccessToken == "" {
		p.t.Fatalf("no token: %s %s", resp.Status, body)
	}
	return got.AccessToken
}
