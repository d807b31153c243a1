package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/peers"
	"mcpgateway/internal/proxytest"
)

//go:embed testdata/protected-server.mjs
var protectedScript []byte

// protected is an MCP server of somebody else's with a sign-in of its own: the library's server behind npm oidc-provider.
type protected struct {
	peer
	url, port string // the server's
	issuer    string // port of its authorization server
}

// startProtected has access tokens that live for that long.
func startProtected(t *testing.T, life time.Duration) *protected {
	t.Helper()
	if os.Getenv("TEST_NETWORK") == "" {
		t.Skip("it needs npm's oidc-provider and SDK from the network: TEST_NETWORK is not set")
	}
	node, script := installPeer(t, "protected-server.mjs", protectedScript, peers.SDK, peers.OpenIDProvider)
	p := &protected{peer: peer{t: t, log: filepath.Join(t.TempDir(), "protected.log")}}
	server, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p.url, p.port, p.issuer = "http://"+server+"/mcp", portOf(server), portOf(issuer)
	p.start(server, node, script, p.port, p.issuer, strconv.Itoa(int(life.Seconds())))
	return p
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// counted is how often the log has a line.
func (p *protected) counted(line string) int { return strings.Count(p.said(), line+"\n") }

// startNotes is the system with a server "notes" that is protected itself.
func startNotes(t *testing.T, life time.Duration) (*signing, *protected) {
	t.Helper()
	p := startProtected(t, life)
	return startNotesAs(t, p, "", ""), p
}

// startNotesAs has more fields of the account, and the authorization server at an address.
func startNotesAs(t *testing.T, p *protected, address, more string) *signing {
	t.Helper()
	there := fmt.Sprintf("egress: [{cidr: 127.0.0.1/32, ports: [%s, %s]}]", p.port, p.issuer)
	g := newSigning(t, signingLayout{
		client:    fmt.Sprintf(", {id: notes-shim, secret: secrets/notes-shim/exchange, exchange: {server: notes, account: {resource: %q, %s%s}}}", p.url, there, more),
		address:   address,
		servers:   fmt.Sprintf("  - {id: notes, runtime: {remote: {url: %q}}, %s, token: {exchange: {{exchange}, client: {id: notes-shim, secret: {key: exchange}}}}}\n", p.url, there),
		engineers: ", notes",
		secrets:   map[string]string{"notes-shim/exchange": "notes-shim-has-this-secret\n"},
	})
	g.program = "oauth"
	g.startOAuth()
	return g
}

// whoami asks the server who its caller is to it.
func (g *signing) whoami(token string) string {
	g.t.Helper()
	_, body := g.do(g.request("POST", "notes", token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`, "MCP-Protocol-Version", "2025-11-25"))
	return body
}

// From nothing but the gateway's URL a client signs alice in, who connects her account at the server on the way, once. What the
// client calls then is called as who she is there, also after those tokens ended; and not any more when she removed the account.
func TestAccountAtServer(t *testing.T) {
	const life = 6 * time.Second
	g, p := startNotes(t, life)
	d := newDesk(t)
	job, _ := json.Marshal(map[string]any{"url": g.resource("notes"), "signIn": "alice", "tool": "whoami", "arguments": map[string]string{}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, client := range []string{d.sdk, d.client} {
		if printed, err := d.run(ctx, client, strings.Replace(string(job), `{"arguments"`, `{"era":"auto","arguments"`, 1)); err != nil || !strings.Contains(printed, "you are alice-of-notes") {
			t.Fatalf("%s: %v\n%s", client, err, printed)
		}
	}
	if n := p.counted("registered"); n != 1 || p.counted("granted authorization_code") != 1 {
		t.Errorf("registered %d times, connected %d times", n, p.counted("granted authorization_code"))
	}
	alice := g.signInAt("notes", "alice")
	if got := g.whoami(alice.Access); !strings.Contains(got, "you are alice-of-notes") {
		t.Fatalf("%+v: %s", alice, got)
	}
	before := p.counted("granted refresh_token")
	time.Sleep(life + time.Second)
	g.restart()
	if got := g.whoami(alice.Access); !strings.Contains(got, "you are alice-of-notes") || p.counted("granted refresh_token") <= before {
		t.Errorf("after its tokens ended, and a restart: %s", got)
	}
	browser, page := proxytest.NewBrowser(), "http://"+g.address+"/accounts"
	listed, err := proxytest.BrowseTo(t.Context(), browser, page, "alice", page)
	if err != nil || !strings.Contains(string(listed), `aria-label="Remove notes"`) {
		t.Fatalf("%v %s", err, listed)
	}
	resp, err := browser.PostForm(page+"/remove", url.Values{"server": {"notes"}})
	if err != nil || resp.StatusCode != http.StatusOK || p.counted("revoked") != 1 {
		t.Errorf("%v %v, revoked %d times", resp, err, p.counted("revoked"))
	}
	connect := "http://" + g.address + "/connect/notes"
	g.eventually("a removed account is not used any more", life+5*time.Second, func() bool { return strings.Contains(g.whoami(alice.Access), connect) })
	// A client that leads people to pages is told so in the way of its era, and alice comes to the same place by it.
	if got := g.elicited(alice.Access); got != connect {
		t.Errorf("her client leads to %q", got)
	}
	if _, err := proxytest.BrowseTo(t.Context(), proxytest.NewBrowser(), connect, "alice", page); err != nil {
		t.Error(err)
	}
	g.eventually("connected again", 10*time.Second, func() bool { return strings.Contains(g.whoami(alice.Access), "you are alice-of-notes") })
	g.noSecretOnDisk("notes-shim-has-this-secret", alice.Access)
}

// elicited is the page to which a modern client is asked to lead its person.
func (g *signing) elicited(token string) string {
	g.t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{},` +
		strings.Replace(modernMeta, `clientCapabilities":{}`, `clientCapabilities":{"elicitation":{"url":{}}}`, 1) + `}}`
	_, text := g.do(g.request("POST", "notes", token, body, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"))
	var answer struct {
		Result struct {
			ResultType    string
			InputRequests map[string]struct{ Params struct{ URL string } }
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Result.ResultType != "input_required" {
		g.t.Errorf("%s %v", text, err)
	}
	for _, asked := range answer.Result.InputRequests {
		return asked.Params.URL
	}
	return ""
}

// What ends at the server's own sign-in leads there again: its token is refused by the server, and then not renewed.
func TestAccountEndsThere(t *testing.T) {
	g, p := startNotes(t, 10*time.Minute)
	alice := g.signInAt("notes", "alice")
	if got := g.whoami(alice.Access); !strings.Contains(got, "you are alice-of-notes") {
		t.Fatalf("%+v: %s", alice, got)
	}
	resp, err := http.Post("http://127.0.0.1:"+p.issuer+"/end-all", "", nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	g.eventually("her client leads her there", 20*time.Second, func() bool { return strings.Contains(g.whoami(alice.Access), g.address+"/connect/notes") })
}

// A client that the operator registered at the server's sign-in by hand is the one as whom accounts are connected.
func TestAccountByStaticClient(t *testing.T) {
	p := startProtected(t, time.Minute)
	address, err := proxytest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://127.0.0.1:"+p.issuer+"/reg", "application/json", strings.NewReader(`{"redirect_uris":["http://`+address+`/connect/notes/callback"],"token_endpoint_auth_method":"client_secret_post"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&client); err != nil || client.Secret == "" {
		t.Fatal(resp.Status, err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(client.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startNotesAs(t, p, address, fmt.Sprintf(", client: {id: %q, secret: %q, auth: client_secret_post}", client.ID, secret))
	if alice := g.signInAt("notes", "alice"); !strings.Contains(g.whoami(alice.Access), "you are alice-of-notes") || p.counted("registered") != 1 {
		t.Errorf("registered %d times, %+v", p.counted("registered"), alice)
	}
	g.noSecretOnDisk(client.Secret)
}

// The operator ends what a person's accounts gave together with all else of theirs.
func TestRevokedAccounts(t *testing.T) {
	g, p := startNotes(t, time.Minute)
	if alice := g.signInAt("notes", "alice"); !strings.Contains(g.whoami(alice.Access), "you are alice-of-notes") {
		t.Fatalf("%+v\n%s", alice, p.said())
	}
	ended, err := operate.Revoke(t.Context(), filepath.Join(g.dir, ".run/oauth"), grant.Person{Issuer: g.provider.url, Subject: "alice"})
	if err != nil || ended != (grant.Ended{Grants: 1, Accounts: 1}) {
		t.Errorf("%+v, %v", ended, err)
	}
}
