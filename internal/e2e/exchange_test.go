package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mcpgateway/internal/mcptest"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// picky is an MCP server of somebody else's that takes tokens until it does not.
type picky struct {
	mu      sync.Mutex
	refused map[string]bool
	seen    []http.Header
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if mcptest.Discovered(w, body) {
		return
	}
	p.seen = append(p.seen, r.Header.Clone())
	if p.refused[r.Header.Get("Authorization")] || p.refused["*"] {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"%s"}]}}`, r.Header.Get("Authorization"))
}

func (p *picky) refuse(authorization string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[authorization] = true
}

func (p *picky) last(t *testing.T) http.Header {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		t.Fatal("the server was not asked")
	}
	return p.seen[len(p.seen)-1]
}

const apiKey = "api-key-of-the-server"

// startExchange is the system with a real OpenID provider and servers that are sent what it gives.
func startExchange(t *testing.T) (*system, *provider, *picky) {
	t.Helper()
	p, far := startProvider(t, "http://127.0.0.1:9/callback"), &picky{refused: map[string]bool{}}
	elsewhere := httptest.NewServer(far)
	t.Cleanup(elsewhere.Close)
	_, farPort, _ := net.SplitHostPort(elsewhere.Listener.Addr().String())
	sample := fmt.Sprintf(`runtime: {command: {exec: %s, args: [-addr, "127.0.0.1:{port}"], http: {}}}, scale: {idle: 30s}`, filepath.Join(programs, "sample-server"))
	exchange := func(fields string) string {
		return fmt.Sprintf(`token: {exchange: {url: %[1]s/token, egress: [{cidr: 127.0.0.1/32, ports: [%[2]s]}], scopes: [upstream], %[3]s}}`, p.url, p.port, fields)
	}
	basic := "client: {id: shim, secret: {key: exchange}}"
	s := startAs(t, layout{
		issuers: fmt.Sprintf("  - {name: provider, url: %s, audiences: [\"{resource}\"], groupsClaim: groups}\n", p.url),
		servers: "  - {id: exchanged, " + sample + ", " + exchange("audience: urn:test:exchanged, "+basic) + "}\n" +
			"  - {id: short, " + sample + ", " + exchange("audience: urn:test:short, "+basic) + "}\n" +
			"  - {id: keyed, " + sample + ", " + exchange("resource: urn:test:keyed, header: X-Upstream-Token, client: {id: shim-key, auth: private_key_jwt, audience: "+p.url+", secret: {key: key}}") + "}\n" +
			"  - {id: picky, runtime: {remote: {url: '" + elsewhere.URL + "/mcp'}}, egress: [{cidr: 127.0.0.1/32, ports: [" + farPort + "]}], scale: {idle: 30s}, " +
			exchange("audience: urn:test:picky, "+basic) + ", headers: [{name: X-Api-Key, secret: {key: api}, host: 127.0.0.1}, {name: X-User, claim: sub, host: 127.0.0.1}]}\n",
		policies: "  - {name: exchanges, allow: {groups: [\"provider:engineering\"]}, servers: [exchanged, short, keyed, picky]}\n",
		secrets: map[string]string{"exchanged-shim/exchange": shimSecret + "\n", "short-shim/exchange": shimSecret, "keyed-shim/key": p.key,
			"picky-shim/exchange": shimSecret, "picky-shim/api": apiKey + "\n"},
	})
	return s, p, far
}

// received is what a sample server was sent in a header.
func (s *system) received(server, token, header string) string {
	s.t.Helper()
	resp, body := s.call(server, token, "headers", `{}`)
	var answer struct {
		Result struct {
			Content []struct{ Text string }
		}
	}
	var headers http.Header
	if resp.StatusCode != 200 || json.Unmarshal([]byte(body), &answer) != nil || len(answer.Result.Content) != 1 ||
		json.Unmarshal([]byte(answer.Result.Content[0].Text), &headers) != nil {
		s.t.Fatalf("%s: %d %s", server, resp.StatusCode, body)
	}
	if strings.Contains(body, token) {
		s.t.Errorf("%s was sent the caller's token", server)
	}
	return headers.Get(header)
}

// claimsOf are the claims of a JWT.
func claimsOf(t *testing.T, token string) (claims struct {
	Subject, Audience, Scope, Of string
	Actor                        struct{ Sub string }
}) {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(token, "Bearer "), ".")
	var c struct {
		Sub, Aud, Scope string
		Of              string `json:"subject_scope"`
		Act             struct{ Sub string }
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		t.Fatalf("%q is no JWT", token)
	}
	claims.Subject, claims.Audience, claims.Scope, claims.Of, claims.Actor = c.Sub, c.Aud, c.Scope, c.Of, c.Act
	return claims
}

func TestTokenExchange(t *testing.T) {
	s, p, far := startExchange(t)
	t.Run("which token", func(t *testing.T) { testWhichToken(t, s, p) })
	t.Run("private key and another header", func(t *testing.T) {
		alice := p.token("alice", s.resource("keyed"), "read")
		got := s.received("keyed", alice, "X-Upstream-Token")
		if c := claimsOf(t, got); c.Subject != "alice" || c.Audience != "urn:test:keyed" || c.Actor.Sub != "shim-key" {
			t.Errorf("received %+v", c)
		}
		if got := s.received("keyed", alice, "Authorization"); got != "" {
			t.Errorf("Authorization too: %s", got)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		alice := p.token("alice", s.resource("short"), "read")
		first := s.received("short", alice, "Authorization")
		s.eventually("a token of three seconds is exchanged anew", 10*time.Second, func() bool { return s.received("short", alice, "Authorization") != first })
	})
	t.Run("refused by the server", func(t *testing.T) { testRefusedToken(t, s, p, far) })
	t.Run("refused by the issuer", func(t *testing.T) { testRefusedExchange(t, s, p) })
	s.noSecretOnDisk(shimSecret, personSecret, apiKey, "eyJ")
}

func testWhichToken(t *testing.T, s *system, p *provider) {
	resource := s.resource("exchanged")
	alice := p.token("alice", resource, "read")
	first := s.received("exchanged", alice, "Authorization")
	if c := claimsOf(t, first); c.Subject != "alice" || c.Audience != "urn:test:exchanged" || c.Scope != "upstream" || c.Of != "read" || c.Actor.Sub != "shim" {
		t.Errorf("received %+v", c)
	}
	before := p.exchanges()
	for name, token := range map[string]string{"the same": alice, "another of the same scopes": p.token("alice", resource, "read")} {
		if got := s.received("exchanged", token, "Authorization"); got != first {
			t.Errorf("%s token leads to another exchanged one", name)
		}
	}
	if n := p.exchanges() - before; n != 0 {
		t.Errorf("%d exchanges for tokens that are kept", n)
	}
	for name, token := range map[string]string{"read write": p.token("alice", resource, "read write"), "write": p.token("alice", resource, "write")} {
		got := s.received("exchanged", token, "Authorization")
		if c := claimsOf(t, got); got == first || c.Of != name || c.Subject != "alice" {
			t.Errorf("scopes %q share a token: received %+v", name, c)
		}
	}
	if c := claimsOf(t, s.received("exchanged", p.token("bob", resource, "read"), "Authorization")); c.Subject != "bob" {
		t.Errorf("bob's token is %+v", c)
	}
	// A legacy session's every request has it.
	session := s.session("exchanged", alice)
	if resp, body := s.do(s.request("DELETE", "exchanged", alice, "", "Mcp-Session-Id", session, "Content-Type", "")); resp.StatusCode >= 400 {
		t.Errorf("DELETE: %d %s", resp.StatusCode, body)
	}
}

func testRefusedToken(t *testing.T, s *system, p *provider, far *picky) {
	alice := p.token("alice", s.resource("picky"), "read")
	if resp, body := s.call("picky", alice, "x", `{}`); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	h := far.last(t)
	first := h.Get("Authorization")
	if h.Get("X-Api-Key") != apiKey || h.Get("X-User") != "alice" || claimsOf(t, first).Audience != "urn:test:picky" {
		t.Errorf("the server was sent %v", h)
	}
	far.refuse(first)
	before := p.exchanges()
	resp, body := s.call("picky", alice, "x", `{}`)
	if second := far.last(t).Get("Authorization"); resp.StatusCode != 200 || second == first || !strings.Contains(body, second) {
		t.Errorf("a refused token is not renewed: %d %s", resp.StatusCode, body)
	}
	if n := p.exchanges() - before; n != 1 {
		t.Errorf("%d exchanges for one refusal", n)
	}
	far.refuse("*")
	if resp, body := s.call("picky", alice, "x", `{}`); resp.StatusCode != 502 || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("a server that takes no token: %d %s %v", resp.StatusCode, body, resp.Header)
	}
	if n := p.exchanges() - before; n != 1 {
		t.Errorf("%d exchanges, want no more than the one: it was just now", n)
	}
}

func testRefusedExchange(t *testing.T, s *system, p *provider) {
	for user, code := range map[string]string{"revoked": "invalid_token", "factor": "insufficient_user_authentication"} {
		resp, body := s.call("exchanged", p.token(user, s.resource("exchanged"), "read"), "headers", `{}`)
		challenge := resp.Header.Get("WWW-Authenticate")
		if resp.StatusCode != 401 || !strings.Contains(challenge, `error="`+code+`"`) || !strings.Contains(body, "sign in again") ||
			!strings.Contains(challenge, `resource_metadata="`+s.url+`/.well-known/oauth-protected-resource/mcp-connect/exchanged"`) {
			t.Errorf("%s: %d %s %s", user, resp.StatusCode, body, challenge)
		}
	}
}

// noSecretOnDisk looks through everything that the system wrote: logs, audit records, rules, state.
func (s *system) noSecretOnDisk(secrets ...string) {
	s.t.Helper()
	files := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(s.dir, "secrets")) {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				s.t.Errorf("%s holds %q", path, secret)
			}
		}
		return err
	})
	if err != nil || files < 10 {
		s.t.Errorf("%d files, %v", files, err)
	}
}
