package main

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/ruleset"
)

// give puts rules with credentials in force.
func (r *rig) give(t *testing.T, c rules.Credentials, s exchange.Secrets) {
	t.Helper()
	r.rules.Version, r.rules.Credentials = r.rules.Version+1, &c
	r.writeRules(t)
	var err error
	if r.chain.rules, err = ruleset.NewHolder(ruleset.Config{Server: "github", Path: r.rulesFile, Key: r.key.Public().(ed25519.PublicKey),
		Logger: slog.New(slog.DiscardHandler), Secrets: s, Exchanging: r.chain.observe.TokenExchange}); err != nil {
		t.Fatal(err)
	}
}

// tokenEndpoint counts what it is asked, and gives a token of its own each time; a refused one says so.
func tokenEndpoint(t *testing.T) (c rules.Credentials, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if r.FormValue("scope") == "refuse" {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"issued-%d","token_type":"Bearer","expires_in":3600}`, n)
	}))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return rules.Credentials{Exchange: &rules.Exchange{Grant: rules.GrantTokenExchange, URL: s.URL, Egress: "127.0.0.1/32 " + port,
		SubjectTokenType: "access_token", RequestedTokenType: "access_token", Client: rules.Client{ID: "shim", Auth: rules.AuthNone}}}, asked
}

// recorder is a server that remembers what it was sent.
type recorder struct {
	mu     sync.Mutex
	seen   []string // method, Authorization, body
	refuse func(authorization string) bool
}

func (s *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.Header.Get("Authorization")+" "+string(body))
	refused := s.refuse != nil && s.refuse(r.Header.Get("Authorization"))
	s.mu.Unlock()
	switch {
	case refused:
		w.Header().Set("Www-Authenticate", `Bearer realm="theirs"`)
		http.Error(w, "sign in with us", http.StatusUnauthorized)
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": nothing\n\n")
	case strings.Contains(string(body), `"id"`):
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, r)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func (s *recorder) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Every kind of request carries the exchanged token, and none the caller's.
func TestExchangedToken(t *testing.T) {
	server := &recorder{}
	r := newRig(t, server.ServeHTTP)
	c, asked := tokenEndpoint(t)
	r.give(t, c, exchange.Secrets{})
	alice := r.engineer(t)
	const notification = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	var want []string
	for _, q := range []struct{ method, body string }{{"POST", callTool("x")}, {"POST", notification}, {"GET", ""}, {"DELETE", ""}} {
		if resp, body := r.do(t, r.request(t, q.method, alice, q.body)); resp.StatusCode >= 300 {
			t.Errorf("%s: %d %s", q.method, resp.StatusCode, body)
		}
		want = append(want, q.method+" Bearer issued-1 "+q.body)
	}
	if got := server.all(); !slices.Equal(got, want) {
		t.Errorf("the server was sent %q, want %q", got, want)
	}
	if resp, _ := r.post(t, r.issuer.Token(t, "alice", resource, []string{"engineering"}, identitytest.Claims{"scope": "write"}), callTool("x")); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
	if got := server.all(); got[len(got)-1] != "POST Bearer issued-2 "+callTool("x") {
		t.Errorf("another scope was sent %s", got[len(got)-1])
	}
	// What may not go there costs no exchange.
	if resp, _ := r.post(t, r.seller(t), callTool("x")); resp.StatusCode != 200 || asked.Load() != 2 || len(server.all()) != 5 {
		t.Errorf("a refused call: %d, the issuer was asked %d times", resp.StatusCode, asked.Load())
	}
}

// A refused token is exchanged once more, and the same request goes out once more.
func TestServerRefusesToken(t *testing.T) {
	server := &recorder{refuse: func(a string) bool { return a == "Bearer issued-1" }}
	r := newRig(t, server.ServeHTTP)
	c, asked := tokenEndpoint(t)
	r.give(t, c, exchange.Secrets{})
	resp, body := r.post(t, r.engineer(t), callTool("x"))
	if want := []string{"POST Bearer issued-1 " + callTool("x"), "POST Bearer issued-2 " + callTool("x")}; resp.StatusCode != 200 || !slices.Equal(server.all(), want) {
		t.Errorf("%d %s, the server was sent %q", resp.StatusCode, body, server.all())
	}
	server.mu.Lock()
	server.seen, server.refuse = nil, func(string) bool { return true }
	server.mu.Unlock()
	resp, body = r.post(t, r.issuer.Token(t, "carol", resource, []string{"engineering"}, nil), callTool("x"))
	if resp.StatusCode != 502 || resp.Header.Get("Www-Authenticate") != "" || strings.Contains(body, "sign in with us") || len(server.all()) != 2 || asked.Load() != 4 {
		t.Errorf("%d %s %v, the server was sent %q, the issuer asked %d times", resp.StatusCode, body, resp.Header, server.all(), asked.Load())
	}
}

// A server that needs no exchange and says 401 is asked once.
func TestServerRefusesWithoutExchange(t *testing.T) {
	server := &recorder{refuse: func(string) bool { return true }}
	r := newRig(t, server.ServeHTTP)
	r.give(t, rules.Credentials{Headers: []rules.Header{{Name: "Authorization", Secret: "k"}}}, exchange.Secrets{Headers: map[string]secret.Text{"k": secret.New("Basic x")}})
	if resp, _ := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 502 || !slices.Equal(server.all(), []string{"POST Basic x " + callTool("x")}) {
		t.Errorf("%d, the server was sent %q", resp.StatusCode, server.all())
	}
}

// No token, no call: the caller is told what to do, and the record says that it was refused.
func TestIssuerRefuses(t *testing.T) {
	server := &recorder{}
	r := newRig(t, server.ServeHTTP)
	c, _ := tokenEndpoint(t)
	c.Exchange.Scopes = []string{"refuse"}
	r.give(t, c, exchange.Secrets{})
	for method, text := range map[string]string{"POST": callTool("x"), "GET": "", "DELETE": ""} {
		resp, body := r.do(t, r.request(t, method, r.engineer(t), text))
		challenge := resp.Header.Get("Www-Authenticate")
		if resp.StatusCode != 401 || !strings.Contains(body, "sign in again") || !strings.Contains(challenge, `error="invalid_token"`) || len(server.all()) != 0 {
			t.Errorf("%s: %d %s %s", method, resp.StatusCode, body, challenge)
		}
	}
	for _, record := range r.records.all() {
		if record.ResponseStatus != 401 || !strings.Contains(record.Error, "invalid_grant") {
			t.Errorf("recorded %+v", record)
		}
	}
}

// A secret goes to the origin that it is for, after redirects too, and nowhere else.
func TestSecretHeaders(t *testing.T) {
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a stranger was asked") }))
	defer stranger.Close()
	var mu sync.Mutex
	var got []string
	far := newRemote(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		got = append(got, req.URL.Path+" "+req.Header.Get("X-Api-Key"))
		mu.Unlock()
		body, _ := io.ReadAll(req.Body)
		switch {
		case strings.Contains(string(body), `"away"`):
			http.Redirect(w, req, stranger.URL, http.StatusTemporaryRedirect)
		case req.URL.Path == "/mcp":
			http.Redirect(w, req, "/mcp/", http.StatusPermanentRedirect)
		default:
			answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, req)
		}
	}, nil)
	origin, err := egress.Origin(far.chain.forward.Upstream)
	if err != nil {
		t.Fatal(err)
	}
	c := rules.Credentials{Origin: origin, Headers: []rules.Header{{Name: "X-Api-Key", Secret: "k"}}}
	s := exchange.Secrets{Headers: map[string]secret.Text{"k": secret.New("key")}}
	far.give(t, c, s)
	if resp, body := far.post(t, far.engineer(t), callTool("x"), "X-Api-Key", "of the caller"); resp.StatusCode != 200 || !slices.Equal(got, []string{"/mcp key", "/mcp/ key"}) {
		t.Errorf("%d %s, the server was sent %q", resp.StatusCode, body, got)
	}
	if resp, _ := far.post(t, far.engineer(t), callTool("away")); resp.StatusCode != 502 {
		t.Errorf("%d", resp.StatusCode)
	}
	// Rules that were made for another server, before the shim of that one is there.
	got = nil
	c.Origin = "https://elsewhere.test:443"
	far.give(t, c, s)
	if resp, body := far.post(t, far.engineer(t), callTool("x")); resp.StatusCode != 503 || len(got) != 0 || strings.Contains(body, "elsewhere") {
		t.Errorf("%d %s, the server was sent %q", resp.StatusCode, body, got)
	}
}

// Nothing that the caller sends takes the place of a credential.
func TestCallerSendsNoCredential(t *testing.T) {
	var got http.Header
	r := newRigTo(t, forward.Config{Upstream: mustURL(t, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got = req.Header.Clone()
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, req)
	})))})
	c, _ := tokenEndpoint(t)
	c.Exchange.Header = "X-Upstream-Token"
	r.give(t, c, exchange.Secrets{})
	if resp, _ := r.post(t, r.engineer(t), callTool("x"), "X-Upstream-Token", "mine", mcp.HeaderSession, ""); resp.StatusCode != 200 ||
		got.Get("X-Upstream-Token") != "issued-1" || len(got.Values("X-Upstream-Token")) != 1 || got.Get("Authorization") != "" {
		t.Errorf("%d, the server was sent %v", resp.StatusCode, got)
	}
}

func mustURL(t *testing.T, s *httptest.Server) *url.URL {
	t.Helper()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
