package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/proxytest"
)

// signing is the system with an authorization server in front of a real OpenID provider, and a client that has nothing but a
// server's URL.
type signing struct {
	*system
	provider *provider
	program  string // the authorization server
	address  string // where it is
	id       string // the client's
	back     *httptest.Server
	brought  url.Values // by the browser
}

func startSigning(t *testing.T) *signing {
	t.Helper()
	return startSigningBy(t, "oauth")
}

// startSigningBy has another program for the authorization server.
func startSigningBy(t *testing.T, program string) *signing {
	t.Helper()
	g := newSigning(t, signingLayout{})
	g.program = program
	g.startOAuth()
	return g
}

// signingLayout is what a test has besides what all have: lines of YAML of the platform's oauth section, a client of it, and servers.
// In them {exchange} is where its tokens are exchanged, as a field.
type signingLayout struct {
	address                string // of the authorization server, if it is known before
	oauth, client, servers string
	engineers              string            // servers that engineers may use, each after a comma
	secrets                map[string]string // by path
}

// newSigning is all but the authorization server.
func newSigning(t *testing.T, l signingLayout) *signing {
	t.Helper()
	address, err := l.address, error(nil)
	if address == "" {
		address, err = proxytest.FreeAddress()
	}
	if err != nil {
		t.Fatal(err)
	}
	g := &signing{address: address, provider: startProvider(t, "http://"+address+"/callback")}
	exchange := fmt.Sprintf("url: %q, egress: [{cidr: 127.0.0.1/32, ports: [%s]}]", "http://"+address+"/token", address[strings.LastIndex(address, ":")+1:])
	secrets := map[string]string{"gateway": "gateway-secret\n", "front-shim/exchange": "front-secret: with %, + and ~\n"}
	maps.Copy(secrets, l.secrets)
	sample := fmt.Sprintf(`runtime: {command: {exec: %s, args: [-addr, "127.0.0.1:{port}"], http: {}}}`, filepath.Join(programs, "sample-server"))
	g.system = startAs(t, layout{
		issuers: fmt.Sprintf("  - {name: provider, url: %q, audiences: [\"{resource}\"]}\n  - {name: oauth, url: %q, audiences: [\"{resource}\"], brokers: [%q]}\n",
			g.provider.url, "http://"+address, g.provider.url),
		platform: fmt.Sprintf("oauth:\n"+l.oauth+"  url: %q\n  provider: {url: %q, clientID: gateway, secret: secrets/gateway, scopes: [openid, groups]}\n"+
			"  clients: [{id: front-shim, secret: secrets/front-shim/exchange, exchange: {server: front, audiences: [\"urn:behind\"]}}"+l.client+"]\n", "http://"+address, g.provider.url),
		servers: strings.ReplaceAll(fmt.Sprintf("  - {id: front, %s, token: {exchange: {{exchange}, audience: \"urn:behind\", client: {id: front-shim, secret: {key: exchange}}}}}\n",
			sample)+l.servers, "{exchange}", exchange),
		policies: "  - {name: signed-in, allow: {groups: [\"provider:engineering\"]}, servers: [sample, front" + l.engineers + "]}\n",
		secrets:  secrets,
	})
	g.back = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { g.brought = r.URL.Query() }))
	t.Cleanup(g.back.Close)
	return g
}

func (g *signing) startOAuth() {
	g.t.Helper()
	p, err := proxytest.StartProcess(proxytest.Command{Path: filepath.Join(programs, g.program), Log: filepath.Join(g.dir, "oauth.log"),
		Env: []string{"PLATFORM=" + filepath.Join(g.dir, "platform.yaml"), "LISTEN=" + g.address}})
	if err == nil {
		err = p.Await(context.Background(), "tcp", g.address)
	}
	if err != nil {
		text, _ := os.ReadFile(filepath.Join(g.dir, "oauth.log"))
		g.t.Fatalf("%v\n%s", err, text)
	}
	g.oauth = p
}

// get reads a JSON document.
func (g *signing) get(address string, into any) {
	g.t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		g.t.Fatal(address, err)
	}
}

// endpoints are found from nothing but the server's URL, as clients do (MCP 2025-11-25, authorization).
func (g *signing) endpoints() (m struct {
	Authorize string `json:"authorization_endpoint"`
	Token     string `json:"token_endpoint"`
	Register  string `json:"registration_endpoint"`
}) {
	g.t.Helper()
	resp, _ := g.do(g.request("POST", "sample", "", initialize))
	_, rest, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `resource_metadata="`)
	at, _, _ := strings.Cut(rest, `"`)
	var resource struct {
		Servers []string `json:"authorization_servers"`
	}
	g.get(at, &resource)
	g.get(resource.Servers[0]+"/.well-known/oauth-authorization-server", &m)
	return m
}

type given struct {
	Status  int
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string
}

func (g *signing) post(address string, form url.Values) (a given) {
	g.t.Helper()
	resp, err := http.PostForm(address, form)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&a)
	a.Status = resp.StatusCode
	return a
}

// signIn registers a client, and has a person sign in for it, to use the server sample.
func (g *signing) signIn(person string) given { return g.signInAt("sample", person) }

func (g *signing) signInAt(server, person string) given {
	g.t.Helper()
	at, redirect := g.endpoints(), g.back.URL+"/callback"
	resp, err := http.Post(at.Register, "application/json", strings.NewReader(`{"redirect_uris":["`+redirect+`"],"token_endpoint_auth_method":"none"}`))
	if err != nil {
		g.t.Fatal(err)
	}
	var client struct {
		ID string `json:"client_id"`
	}
	err = json.NewDecoder(resp.Body).Decode(&client)
	resp.Body.Close()
	if err != nil || client.ID == "" {
		g.t.Fatal(resp.Status, err)
	}
	g.id = client.ID
	verifier := strings.Repeat("v", 50)
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {g.id}, "redirect_uri": {redirect}, "resource": {g.resource(server)}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	if err := proxytest.Browse(g.t.Context(), at.Authorize+"?"+q.Encode(), person); err != nil {
		g.t.Fatal(err)
	}
	return g.post(at.Token, url.Values{"grant_type": {"authorization_code"}, "client_id": {g.id}, "redirect_uri": {redirect}, "code": g.brought["code"],
		"code_verifier": {verifier}, "resource": {g.resource(server)}})
}

func (g *signing) refresh(token string) given {
	g.t.Helper()
	return g.post("http://"+g.address+"/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {g.id}, "refresh_token": {token}})
}

// restart stops all programs of ours, and what they run, and starts them.
func (g *signing) restart() {
	g.t.Helper()
	for _, p := range []*proxytest.Process{g.gateway, g.oauth, g.deployer} {
		if err := p.Stop(); err != nil {
			g.t.Fatal(err)
		}
	}
	g.startDeployer()
	g.startGateway()
	g.startOAuth()
}

func (g *signing) calls(token string) int {
	g.t.Helper()
	resp, _ := g.call("sample", token, "echo", `{"message":"x"}`)
	return resp.StatusCode
}

func TestSignInAtProvider(t *testing.T) {
	g := startSigning(t)
	a := g.signIn("alice")
	if a.Status != 200 || g.calls(a.Access) != 200 {
		t.Fatalf("%+v, %v", a, g.brought)
	}
	if bob := g.signIn("bob"); bob.Status != 200 || g.calls(bob.Access) != 403 {
		t.Errorf("bob: %+v", bob)
	}
	a = g.signIn("alice")
	g.restart()
	if got := g.calls(a.Access); got != 200 {
		t.Errorf("after a restart of everything: %d", got)
	}
	if a = g.refresh(a.Refresh); a.Status != 200 || g.calls(a.Access) != 200 {
		t.Fatalf("a refresh after a restart: %+v", a)
	}
	g.provider.setUsers(map[string][]string{"alice": {"sales"}})
	if a = g.refresh(a.Refresh); a.Status != 200 || g.calls(a.Access) != 403 {
		t.Errorf("a group was removed: %+v", a)
	}
	g.provider.setUsers(map[string][]string{})
	g.noSecretOnDisk("gateway-secret", a.Refresh, a.Access)
	if a = g.refresh(a.Refresh); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("disabled: %+v", a)
	}
}

// The shim of a server has our own authorization server exchange its caller's token, and no token of the caller's for another
// server.
func TestShimExchangesHere(t *testing.T) {
	g := startSigning(t)
	alice := g.signInAt("front", "alice")
	if alice.Status != 200 {
		t.Fatalf("%+v", alice)
	}
	got := claimsOf(t, g.received("front", alice.Access, "Authorization"))
	if got.Subject != g.provider.url+"#alice" || got.Audience != "urn:behind" || got.Actor.Sub != "front-shim" {
		t.Errorf("the server was sent a token of %+v", got)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {"front-shim"}, "client_secret": {"front-secret: with %, + and ~"},
		"subject_token": {g.signIn("alice").Access}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
	if got := g.post("http://"+g.address+"/token", form); got.Status != 400 || got.Error != "invalid_request" {
		t.Errorf("another server's token: %+v", got)
	}
	g.noSecretOnDisk("front-secret", alice.Access)
}

// A person makes an API key in their browser, programs use it as if it were a token, and it ends when the operator says so.
func TestAPIKey(t *testing.T) {
	g := startSigning(t)
	browser, page := proxytest.NewBrowser(), "http://"+g.address+"/keys"
	if _, err := proxytest.BrowseTo(t.Context(), browser, page, "alice", page); err != nil {
		t.Fatal(err)
	}
	resp, err := browser.PostForm(page, url.Values{"label": {"e2e"}, "server": {"front"}, "days": {"7"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	key := regexp.MustCompile(`mgk_[A-Za-z0-9_-]+`).FindString(string(text))
	if key == "" {
		t.Fatalf("no key: %s", text)
	}
	if got := claimsOf(t, g.received("front", key, "Authorization")); got.Subject != g.provider.url+"#alice" || got.Audience != "urn:behind" {
		t.Errorf("by the key the server was sent a token of %+v", got)
	}
	if got := g.calls(key); got != 401 {
		t.Errorf("a server that the key is not for: %d", got)
	}
	ended, err := operate.Revoke(t.Context(), filepath.Join(g.dir, ".run/oauth"), grant.Person{Issuer: g.provider.url, Subject: "alice"})
	if err != nil || ended != (grant.Ended{Keys: 1}) {
		t.Errorf("%+v, %v", ended, err)
	}
	if got := g.post("http://"+g.address+"/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {"mcpgateway"}, "subject_token": {key},
		"subject_token_type": {"urn:x-mcpgateway:token-type:api-key"}, "resource": {g.resource("front")}}); got.Status != 400 || got.Access != "" {
		t.Errorf("the key is good after it was revoked: %+v", got)
	}
	g.noSecretOnDisk(key, key[len(key)-43:])
}
