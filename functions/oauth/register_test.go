package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func TestRegister(t *testing.T) {
	r := newRig(t, twoServers)
	for _, tc := range []struct{ name, metadata, want string }{
		{"public", `{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none","client_name":"C"}`, ""},
		{"unknown fields", `{"redirect_uris":["http://127.0.0.1/cb"],"logo_uri":"http://169.254.169.254/","token_endpoint_auth_method":"none"}`, ""},
		{"no redirects", `{}`, "invalid_redirect_uri"},
		{"one bad redirect", `{"redirect_uris":["http://127.0.0.1/cb","http://localhost.evil.com/cb"]}`, "invalid_redirect_uri"},
		{"many redirects", `{"redirect_uris":["http://127.0.0.1/cb"` + strings.Repeat(`,"http://127.0.0.1/cb"`, 20) + `]}`, "invalid_redirect_uri"},
		{"method", `{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"tls_client_auth"}`, "invalid_client_metadata"},
		{"implicit", `{"redirect_uris":["http://127.0.0.1/cb"],"grant_types":["implicit"],"response_types":["token"]}`, "invalid_client_metadata"},
		{"keys elsewhere", `{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"http://169.254.169.254/"}`, "invalid_client_metadata"},
		{"a name that turns", `{"redirect_uris":["http://127.0.0.1/cb"],"client_name":"a\u202eb"}`, "invalid_client_metadata"},
		{"twice", `{"redirect_uris":["http://127.0.0.1/cb"],"redirect_uris":["cursor://x/"]}`, "invalid_client_metadata"},
		{"no JSON", `redirect_uris=x`, "invalid_client_metadata"},
		{"large", `{"client_name":"` + strings.Repeat("x", maxForm) + `"}`, "invalid_client_metadata"},
	} {
		status, m := r.register(tc.metadata)
		if tc.want == "" && (status != 201 || m["client_id"] == "" || m["registration_access_token"] == "" || m["client_secret"] != nil) {
			t.Errorf("%s: %d %v", tc.name, status, m)
		}
		if tc.want != "" && (status != 400 || m["error"] != tc.want) {
			t.Errorf("%s: %d %v", tc.name, status, m)
		}
	}
}

// The secret of a client that registers with the standard's default is what it must show, and the only way.
func TestRegisteredSecret(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"]}`)
	id, _ := m["client_id"].(string)
	secret, _ := m["client_secret"].(string)
	if secret == "" || m["client_secret_expires_at"] != 0.0 || m["token_endpoint_auth_method"] != "client_secret_basic" {
		t.Fatalf("%v", m)
	}
	redeem := func(form url.Values, edit ...func(*http.Request)) answered {
		form.Set("grant_type", "authorization_code")
		form.Set("code", r.code(r.request(id, staticRedirect), "alice").Get("code"))
		form.Set("code_verifier", verifier)
		return r.post("/token", form, edit...)
	}
	for name, a := range map[string]answered{
		"none":  redeem(url.Values{"client_id": {id}}),
		"post":  redeem(url.Values{"client_id": {id}, "client_secret": {secret}}),
		"wrong": redeem(url.Values{}, func(q *http.Request) { q.SetBasicAuth(id, secret+"x") }),
		"two":   redeem(url.Values{"client_secret": {secret}}, func(q *http.Request) { q.SetBasicAuth(id, secret) }),
	} {
		if a.Status != 401 || a.Error != "invalid_client" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := redeem(url.Values{}, func(q *http.Request) { q.SetBasicAuth(id, secret) }); a.Status != 200 {
		t.Errorf("%+v", a)
	}
}

func TestRegistrationsExpire(t *testing.T) {
	r := newRig(t, twoServers)
	register := func() string {
		_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
		return m["client_id"].(string)
	}
	unused, used := register(), register()
	r.code(r.request(used, staticRedirect), "alice")
	r.pass(25 * time.Hour)
	status, _, body := r.visit(r.browser(), "GET", r.url+"/authorize?"+r.request(unused, staticRedirect).Encode(), nil)
	if status != 400 || !strings.Contains(body, "add it again") {
		t.Errorf("an unused one after a day: %d %s", status, body)
	}
	if a := r.redeem("x", "client_id", unused); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("at the token endpoint: %+v", a)
	}
	r.pass(88 * 24 * time.Hour)
	r.code(r.request(used, staticRedirect), "alice")
	r.pass(89 * 24 * time.Hour)
	r.code(r.request(used, staticRedirect), "alice") // renewed by use
}

func TestRegistrationFlood(t *testing.T) {
	r := newRig(t, twoServers)
	refused := 0
	for range 100 {
		if status, _ := r.register(`{}`); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 20 { // some are taken while the others come
		t.Errorf("%d of 100 are refused", refused)
	}
}

func TestManageRegistration(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
	at, token := m["registration_client_uri"].(string), m["registration_access_token"].(string)
	do := func(method, token, body string) (int, map[string]any) {
		req, _ := http.NewRequest(method, at, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&got)
		return resp.StatusCode, got
	}
	for _, wrong := range []string{token + "x", "", "x y"} {
		if status, got := do("GET", wrong, ""); status != 401 || got["error"] != "invalid_token" {
			t.Errorf("by %q: %d %v", wrong, status, got)
		}
	}
	if resp, err := http.Get(at); err != nil || resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer ") {
		t.Errorf("without a token: %v, %v", resp, err)
	}
	if status, got := do("GET", token, ""); status != 200 || got["client_id"] != m["client_id"] || got["registration_access_token"] != token || got["registration_client_uri"] != at {
		t.Errorf("%d %v", status, got)
	}
	for _, id := range []string{"another", ""} {
		if status, got := do("PUT", token, `{"client_id":"`+id+`","redirect_uris":["cursor://x/cb"]}`); status != 400 || got["error"] != "invalid_client_metadata" {
			t.Errorf("a client_id of %q: %d %v", id, status, got)
		}
	}
	if status, got := do("PUT", token, `{"client_id":"`+m["client_id"].(string)+`","redirect_uris":["cursor://x/cb"],"token_endpoint_auth_method":"none"}`); status != 200 {
		t.Errorf("%d %v", status, got)
	}
	if status, _, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+r.request(m["client_id"].(string), staticRedirect).Encode(), nil); status != 400 {
		t.Errorf("the old redirect is good: %d", status)
	}
	if status, _ := do("DELETE", token, ""); status != 204 {
		t.Errorf("%d", status)
	}
	if status, _ := do("GET", token, ""); status != 401 {
		t.Errorf("removed: %d", status)
	}
}

// keyed is a rig with an agent that signs assertions.
func keyed(t *testing.T) (*rig, func(change func(*jwt.Claims)) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, twoServers)
	set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256"}}})
	r.write("night.json", string(set))
	text, _ := os.ReadFile(filepath.Join(r.dir, "platform.yaml"))
	r.write("platform.yaml", string(text)+"    - {id: night, keys: night.json}\n")
	r.restart()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, func(change func(*jwt.Claims)) string {
		c := jwt.Claims{Issuer: "night", Subject: "night", Audience: jwt.Audience{r.url}, ID: r.random(), Expiry: jwt.NewNumericDate(r.now().Add(time.Minute))}
		if change != nil {
			change(&c)
		}
		text, err := jwt.Signed(signer).Claims(c).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

func TestAssertion(t *testing.T) {
	r, sign := keyed(t)
	ask := func(assertion string) answered {
		return r.post("/token", url.Values{"grant_type": {"client_credentials"}, "resource": {r.resource("notes")},
			"client_assertion_type": {assertionType}, "client_assertion": {assertion}})
	}
	good := sign(nil)
	if a := ask(good); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	_, other := keyed(t)
	for name, assertion := range map[string]string{
		"again":           good,
		"another key":     other(func(c *jwt.Claims) { c.Audience = jwt.Audience{r.url} }),
		"another server":  sign(func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://other.example"} }),
		"two servers":     sign(func(c *jwt.Claims) { c.Audience = jwt.Audience{r.url, "https://other.example"} }),
		"no audience":     sign(func(c *jwt.Claims) { c.Audience = nil }),
		"expired":         sign(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(r.now().Add(-time.Minute)) }),
		"for long":        sign(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(r.now().Add(time.Hour)) }),
		"for ever":        sign(func(c *jwt.Claims) { c.Expiry = nil }),
		"not yet":         sign(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(r.now().Add(time.Minute)) }),
		"no id":           sign(func(c *jwt.Claims) { c.ID = "" }),
		"another issuer":  sign(func(c *jwt.Claims) { c.Issuer = "robot" }),
		"one with secret": sign(func(c *jwt.Claims) { c.Issuer, c.Subject = "robot", "robot" }),
		"public":          sign(func(c *jwt.Claims) { c.Issuer, c.Subject = "known", "known" }),
		"garbage":         "a.b.c",
	} {
		if a := ask(assertion); a.Status != 401 || a.Error != "invalid_client" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
