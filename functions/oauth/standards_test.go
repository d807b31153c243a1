package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
)

// What nobody here knows is passed over, at both endpoints (RFC 6749 sections 3.1 and 3.2).
func TestUnknownParameters(t *testing.T) {
	r := newRig(t, twoServers)
	q := r.request(staticID, staticRedirect)
	q.Set("utm_source", "x")
	q.Set("nonce", "n")
	if a := r.redeem(r.code(q, "alice").Get("code"), "audience", "https://elsewhere.example", "utm_source", "x"); a.Status != 200 || strings.Trim(fmt.Sprint(claim(t, a.Access, "aud")), "[]") != r.resource("notes") {
		t.Errorf("%+v", a)
	}
}

// A refresh gives what was granted, whatever it asks for (RFC 6749 section 6).
func TestRefreshScope(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	b := r.post("/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {staticID}, "refresh_token": {a.Refresh}, "scope": {"mcp offline_access admin"}})
	if b.Status != 200 || b.Scope != a.Scope || claim(t, b.Access, "scope") != a.Scope {
		t.Errorf("%+v, %+v", a, b)
	}
	c := r.refresh(b.Refresh)
	if c.Scope != a.Scope {
		t.Errorf("the next one: %+v", c)
	}
}

// Texts of errors repeat what clients send, and are of the characters that RFC 6749 section 5.2 has, in redirects too.
func TestErrorCharacters(t *testing.T) {
	allowed := func(text string) bool {
		return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
	}
	r := newRig(t, twoServers)
	for _, method := range []string{`a\"b`, `\u00e9`, `\u202e\n`, `\\`} {
		resp, err := http.Post(r.url+"/register", "application/json", strings.NewReader(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"`+method+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]string
		_ = json.NewDecoder(resp.Body).Decode(&m)
		resp.Body.Close()
		if resp.StatusCode != 400 || m["error"] != "invalid_client_metadata" || !allowed(m["error_description"]) {
			t.Errorf("%s: %d %q", method, resp.StatusCode, m)
		}
	}
	f := bad("invalid_request", "the \"answer\" é \n\\")
	if f.told() != "the 'answer' ? ??" || allowed(f.text) {
		t.Errorf("told %q", f.told())
	}
	w := &recorder{h: http.Header{}}
	r.server.answerClient(w, nil, staticRedirect, "s", f)
	u, _ := url.Parse(w.h.Get("Location"))
	if !allowed(u.Query().Get("error_description")) {
		t.Errorf("led to %q", u)
	}
}

type recorder struct{ h http.Header }

func (r *recorder) Header() http.Header         { return r.h }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
func (r *recorder) WriteHeader(int)             {}

// A secret that can be guessed is none (RFC 6749 section 2.3.1): nobody counts how often one is tried.
func TestShortSecret(t *testing.T) {
	r := newRig(t, twoServers)
	for length, want := range map[int]bool{minSecret - 1: false, minSecret: true} {
		r.write("secret", strings.Repeat("s", length)+"\n")
		_, err := staticClients([]catalog.OAuthClient{{ID: "x", Secret: r.dir + "/secret"}})
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "could be guessed") {
			t.Errorf("%d characters: %v", length, err)
		}
	}
}

// What is in the metadata besides addresses (RFC 8414 sections 2 and 3.2).
func TestMetadataAlgorithms(t *testing.T) {
	r := newRig(t, twoServers)
	get := func(address string) (m map[string]any) {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s %v, %v", resp.Status, resp.Header, err)
		}
		return m
	}
	m := get(r.url + "/.well-known/oauth-authorization-server")
	if got := fmt.Sprint(m["token_endpoint_auth_signing_alg_values_supported"]); got != "[ES256 ES384 PS256 RS256 EdDSA]" {
		t.Errorf("algorithms %s", got)
	}
	for name, v := range m {
		if list, is := v.([]any); v == nil || is && len(list) == 0 {
			t.Errorf("%s is empty", name)
		}
		if text, is := v.(string); is && !strings.HasPrefix(text, r.url) {
			t.Errorf("%s is elsewhere: %s", name, text)
		}
	}
	keys, _ := get(m["jwks_uri"].(string))["keys"].([]any)
	if len(keys) == 0 {
		t.Fatal("no keys")
	}
	for _, k := range keys {
		if key := k.(map[string]any); key["use"] != "sig" || key["d"] != nil || key["kid"] == "" {
			t.Errorf("%v", key)
		}
	}
}

// The answer to a registration holds a secret (RFC 7591 section 3.2.1).
func TestRegisterAnswer(t *testing.T) {
	r := newRig(t, twoServers)
	resp, err := http.Post(r.url+"/register", "application/json", strings.NewReader(`{"redirect_uris":["http://127.0.0.1/cb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 201 || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
}
