package issuer

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const back = "http://127.0.0.1:9/callback"

// provider is the issuer with its login page, and a client of it that nobody here wrote.
func provider(t *testing.T) (*InsecureIssuer, *oidc.Provider, oauth2.Config) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	i, err := NewInsecureIssuer(Config{URL: "http://" + server.Listener.Addr().String(), KeyFile: filepath.Join(t.TempDir(), "key"), Users: DefaultUsers(), RedirectURI: back})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	p, err := oidc.NewProvider(t.Context(), i.URL())
	if err != nil {
		t.Fatal(err)
	}
	return i, p, oauth2.Config{ClientID: AppID, Endpoint: p.Endpoint(), RedirectURL: back, Scopes: []string{"openid"}}
}

var action = regexp.MustCompile(`<form method="post" action="([^"]+)">`)

// choose presses a button on the page, and returns the address to which that leads.
func choose(t *testing.T, page, user string, edit func(*http.Request)) (int, *url.URL) {
	t.Helper()
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	m := action.FindSubmatch(body)
	if m == nil || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Fatalf("%s %v %s", resp.Status, resp.Header, body)
	}
	to, err := resp.Request.URL.Parse(html.UnescapeString(string(m[1])))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("POST", to.String(), strings.NewReader("user="+user))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if edit != nil {
		edit(r)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	location, _ := answer.Location()
	return answer.StatusCode, location
}

func TestLogin(t *testing.T) {
	i, p, c := provider(t)
	verifier := oauth2.GenerateVerifier()
	page := c.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.S256ChallengeOption(verifier))
	_, location := choose(t, page, "bob", nil)
	if location == nil || location.Query().Get("state") != "state" || location.Query().Get("iss") != i.URL() {
		t.Fatalf("led to %v", location)
	}
	code := location.Query().Get("code")
	if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
		t.Error("another verifier is taken")
	}
	token, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier)); err == nil {
		t.Error("a code is good twice")
	}
	checkSession(t, p, c, token)
	token, err = c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	checkSession(t, p, c, token)
	if _, err := c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: code}).Token(); err == nil {
		t.Error("a code passes for a refresh token")
	}
}

func checkSession(t *testing.T, p *oidc.Provider, c oauth2.Config, token *oauth2.Token) {
	t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: c.ClientID}).Verify(t.Context(), raw)
	var said struct{ Groups []string }
	if err != nil || id.Subject != "bob" || id.Claims(&said) != nil || len(said.Groups) != 1 {
		t.Errorf("ID token: %+v %+v, %v", id, said, err)
	}
	info, err := p.UserInfo(context.Background(), oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != "bob" || info.Claims(&said) != nil || len(said.Groups) != 1 {
		t.Errorf("userinfo: %+v %+v, %v", info, said, err)
	}
}

func TestLoginRefused(t *testing.T) {
	_, _, c := provider(t)
	good := c.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	for name, edit := range map[string]func(*http.Request){
		"a page of another": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"of another site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		if status, location := choose(t, good, "bob", edit); status != 400 || location != nil {
			t.Errorf("%s: %d %v", name, status, location)
		}
	}
	if status, location := choose(t, good, "mallory", nil); status != 400 || location != nil {
		t.Errorf("nobody: %d %v", status, location)
	}
	for name, page := range map[string]string{
		"another client":   strings.Replace(good, AppID, "other", 1),
		"another redirect": strings.Replace(good, "callback", "evil", 1),
		"no PKCE":          c.AuthCodeURL("state"),
	} {
		resp, err := http.Get(page)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}
