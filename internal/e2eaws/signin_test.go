package e2eaws

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"mcpgateway/internal/identity/identitytest"
)

// provider is an OpenID provider where everybody is alice, at once.
type provider struct {
	*httptest.Server
	issuer *identitytest.Issuer

	mu     sync.Mutex
	nonces map[string]string // by code
}

// startProvider starts one.
func (w *world) startProvider() *provider {
	w.t.Helper()
	mux := http.NewServeMux()
	p := &provider{Server: httptest.NewTLSServer(mux), nonces: map[string]string{}}
	w.t.Cleanup(p.Close)
	p.issuer = identitytest.New(w.t, "", p.URL)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/jwks", "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token", "id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"}})
	})
	mux.HandleFunc("GET /jwks", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(p.issuer.Config(w.t).Keys) })
	mux.HandleFunc("GET /authorize", func(rw http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		p.mu.Lock()
		code := fmt.Sprint("code-", len(p.nonces))
		p.nonces[code] = q.Get("nonce")
		p.mu.Unlock()
		http.Redirect(rw, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		nonce := p.nonces[r.FormValue("code")]
		p.mu.Unlock()
		now := time.Now()
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": "at-the-provider", "token_type": "Bearer", "refresh_token": "of-the-provider", "expires_in": 3600,
			"id_token": p.issuer.Sign(w.t, "JWT", identitytest.Claims{"iss": p.URL, "sub": "alice", "aud": "mcpgateway", "nonce": nonce, "iat": now.Unix(),
				"exp": now.Add(time.Hour).Unix(), "groups": []string{"engineering"}})})
	})
	return p
}

// client is one that registered itself.
type client struct {
	ID    string `json:"client_id"`
	Token string `json:"registration_access_token"`
}

func (w *world) register() client {
	w.t.Helper()
	resp, body := w.ask("POST", "/register", "", `{"redirect_uris":["http://127.0.0.1/callback"],"client_name":"A client","token_endpoint_auth_method":"none"}`,
		"Content-Type", "application/json")
	var c client
	if err := json.Unmarshal([]byte(body), &c); err != nil || resp.StatusCode != 201 || c.ID == "" {
		w.t.Fatalf("registration: %d %s", resp.StatusCode, body)
	}
	return c
}

var question = regexp.MustCompile(`name="question" value="([^"]+)"`)

// signIn has alice sign in at the provider and say yes, in a browser of hers, and returns the client's token for notes.
func (w *world) signIn(c client) string {
	w.t.Helper()
	browser := w.client()
	browser.Jar, _ = cookiejar.New(nil) // it never fails
	verifier := strings.Repeat("v", 50)
	sum := sha256.Sum256([]byte(verifier))
	query := url.Values{"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {"http://127.0.0.1/callback"}, "state": {"s"},
		"resource": {public + "/mcp-connect/notes"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	there, _ := w.follow(browser.Get(public + "/authorize?" + query.Encode()))
	if !strings.HasPrefix(there, w.provider.URL+"/authorize?") {
		w.t.Fatalf("signing in leads to %q", there)
	}
	at := w.provider.Client()
	at.CheckRedirect = browser.CheckRedirect
	back, _ := w.follow(at.Get(there))
	_, page := w.follow(browser.Get(back))
	found := question.FindStringSubmatch(page)
	if found == nil {
		w.t.Fatalf("nobody asks alice: %s", page)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, public+"/consent", strings.NewReader(url.Values{"question": {found[1]}, "answer": {"allow"}}.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {public}, "Sec-Fetch-Site": {"same-origin"}}
	brought, _ := w.follow(browser.Do(r))
	u, err := url.Parse(brought)
	if err != nil || u.Query().Get("code") == "" || u.Query().Get("state") != "s" {
		w.t.Fatalf("the client is told %q", brought)
	}
	_, body := w.ask("POST", "/token", "", url.Values{"grant_type": {"authorization_code"}, "client_id": {c.ID}, "redirect_uri": {"http://127.0.0.1/callback"},
		"code": {u.Query().Get("code")}, "code_verifier": {verifier}, "resource": {public + "/mcp-connect/notes"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	var given struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &given); err != nil || given.Token == "" {
		w.t.Fatalf("no token: %s", body)
	}
	return given.Token
}

// follow reads an answer: where it leads, and what it says.
func (w *world) follow(resp *http.Response, err error) (location, body string) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Header.Get("Location"), string(text)
}
