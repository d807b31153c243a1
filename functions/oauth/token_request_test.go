package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpgateway/localstack/issuer"
)

func TestTokenRequest(t *testing.T) {
	r := newRig(t, twoServers)
	good := func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "client_id": {staticID}, "code_verifier": {verifier},
			"code": {r.code(r.request(staticID, staticRedirect), "alice").Get("code")}}
	}
	with := func(name string, values ...string) url.Values {
		form := good()
		form[name] = values
		return form
	}
	for name, tc := range map[string]struct {
		form url.Values
		edit func(*http.Request)
		want string
	}{
		"JSON":           {good(), func(q *http.Request) { q.Header.Set("Content-Type", "application/json") }, "invalid_request"},
		"no type":        {good(), func(q *http.Request) { q.Header.Del("Content-Type") }, "invalid_request"},
		"in the URL":     {good(), func(q *http.Request) { q.URL.RawQuery = "client_secret=x" }, "invalid_request"},
		"code twice":     {with("code", "x", "x"), nil, "invalid_request"},
		"client twice":   {with("client_id", staticID, staticID), nil, "invalid_request"},
		"no grant_type":  {with("grant_type"), nil, "invalid_request"},
		"two resources":  {with("resource", r.resource("notes"), r.resource("other")), nil, "invalid_target"},
		"no code":        {with("code"), nil, "invalid_grant"},
		"not urlencoded": {nil, func(q *http.Request) { q.Body = http.NoBody; q.ContentLength = 0 }, "invalid_client"},
		"empty resource": {with("resource", ""), nil, ""},
		"a charset": {good(), func(q *http.Request) {
			q.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		}, ""},
	} {
		edit := tc.edit
		if edit == nil {
			edit = func(*http.Request) {}
		}
		if a := r.post("/token", tc.form, edit); a.Error != tc.want || (a.Status == 200) != (tc.want == "") {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for _, path := range []string{"/token", "/revoke", "/introspect"} {
		if status, _, _ := r.visit(r.browser(), "GET", r.url+path, nil); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, status)
		}
	}
}

// A redirect URI that was left out where only one is registered is no later guess: none is sent with the code, or it is refused.
func TestRedirectLeftOut(t *testing.T) {
	r := newRig(t, twoServers)
	q := r.request(staticID, staticRedirect)
	q.Del("redirect_uri")
	if a := r.redeem(r.code(q, "alice").Get("code"), "redirect_uri", ""); a.Status != 200 {
		t.Errorf("%+v", a)
	}
	if a := r.redeem(r.code(q, "alice").Get("code")); a.Error != "invalid_grant" {
		t.Errorf("one that was not asked for: %+v", a)
	}
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/a","http://127.0.0.1/b"],"token_endpoint_auth_method":"none"}`)
	q.Set("client_id", m["client_id"].(string))
	if status, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+q.Encode(), nil); status != 400 || location != "" {
		t.Errorf("one of two is guessed: %d %q", status, location)
	}
}

func TestChallengeForm(t *testing.T) {
	r := newRig(t, twoServers)
	for _, challenge := range []string{"x", verifier + verifier, challenge() + "=", challenge()[:42], challenge()[:42] + "+", challenge()[:42] + "\n"} {
		q := r.request(staticID, staticRedirect)
		q.Set("code_challenge", challenge)
		if _, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+q.Encode(), nil); !strings.Contains(location, "error=invalid_request") {
			t.Errorf("%q: %q", challenge, location)
		}
	}
}

// The address of one server is for that server, whatever is asked for.
func TestAuthorizeAtOneServer(t *testing.T) {
	r := newRig(t, twoServers)
	q := r.request(staticID, staticRedirect)
	for path, want := range map[string]string{"/mcp-connect/notes": "", "/mcp-connect/other": "error=invalid_target", "/mcp-connect/NOTES": "error=invalid_target"} {
		_, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize"+path+"?"+q.Encode(), nil)
		if want == "" && !strings.HasPrefix(location, r.provider.URL) || !strings.Contains(location, want) {
			t.Errorf("%s: %q", path, location)
		}
	}
}

func TestScope(t *testing.T) {
	r := newRig(t, twoServers)
	for asked, want := range map[string]string{"": "mcp", "mcp": "mcp", "offline_access": "mcp offline_access", "mcp offline_access": "mcp offline_access",
		"admin openid": "mcp", "xoffline_access": "mcp"} {
		q := r.request(staticID, staticRedirect)
		q.Set("scope", asked)
		a := r.redeem(r.code(q, "alice").Get("code"))
		if a.Scope != want || claim(t, a.Access, "scope") != want {
			t.Errorf("%q: %q", asked, a.Scope)
		}
	}
}

// A client whose document cannot be had is not known now; nobody is sent to an address that only it gives.
func TestDocumentMissing(t *testing.T) {
	r := newRig(t, twoServers)
	r.serveDocument(claudeID, claudeDocument)
	const other = "https://claude.ai/another"
	if a := r.redeem("x", "client_id", other); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("%+v", a)
	}
	if status, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+r.request(other, claudeRedirect).Encode(), nil); status/100 != 4 || location != "" {
		t.Errorf("%d %q", status, location)
	}
}

// Somebody whose groups the provider left out is not let in without them.
func TestGroupsLeftOut(t *testing.T) {
	r := newRig(t, twoServers)
	var groups []string
	for n := range 1001 {
		groups = append(groups, fmt.Sprintf("g%d", n))
	}
	r.serveUsers([]issuer.User{{Name: "alice", Groups: groups}})
	_, location := r.signIn(r.browser(), r.request(staticID, staticRedirect), "alice")
	if !strings.Contains(location, "error=access_denied") {
		t.Errorf("%q", location)
	}
}

// claim is one of a token's claims.
func claim(t *testing.T, token, name string) any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		t.Fatal(err, string(payload))
	}
	return claims[name]
}

// What a client is told of a token is what the token says.
func TestTokenSays(t *testing.T) {
	r := newRig(t, twoServers)
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {staticID}, "code_verifier": {verifier},
		"code": {r.code(r.request(staticID, staticRedirect), "alice").Get("code")}}
	resp, err := http.PostForm(r.url+"/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var told struct {
		Access string  `json:"access_token"`
		Type   string  `json:"token_type"`
		Life   float64 `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		t.Fatal(err)
	}
	life := claim(t, told.Access, "exp").(float64) - claim(t, told.Access, "iat").(float64)
	if told.Type != "Bearer" || told.Life != 600 || life != 600 {
		t.Errorf("%+v, for %v s", told, life)
	}
	if resp.Header.Get("Pragma") != "no-cache" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", resp.Header)
	}
}

func TestRefreshIsNoSignIn(t *testing.T) {
	r := newRig(t, twoServers)
	first := r.tokens("alice")
	r.pass(time.Hour)
	second := r.refresh(first.Refresh)
	if a, b := claim(t, first.Access, "auth_time"), claim(t, second.Access, "auth_time"); a == nil || a != b {
		t.Errorf("signed in at %v, and at %v", a, b)
	}
	if a, b := claim(t, first.Access, "jti"), claim(t, second.Access, "jti"); a == nil || a == b {
		t.Errorf("two tokens with the ids %v, %v", a, b)
	}
}

// A client in use is kept, also if it only refreshes.
func TestRefreshRenewsRegistration(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
	q := r.request(m["client_id"].(string), staticRedirect)
	a := r.redeem(r.code(q, "alice").Get("code"), "client_id", q.Get("client_id"))
	r.pass(29 * 24 * time.Hour)
	if a = r.post("/token", url.Values{"grant_type": {"refresh_token"}, "client_id": q["client_id"], "refresh_token": {a.Refresh}}); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	r.pass(89 * 24 * time.Hour)
	r.code(q, "alice")
}

// A token is asked for by name at these, and without one nothing is said.
func TestNoToken(t *testing.T) {
	r := newRig(t, twoServers)
	if a := r.post("/revoke", url.Values{"client_id": {staticID}}); a.Status != 400 || a.Error != "invalid_request" {
		t.Errorf("revoke: %+v", a)
	}
	if a := r.post("/revoke", url.Values{"token": {r.tokens("alice").Refresh}}); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("revoke by nobody: %+v", a)
	}
	if a := r.post("/introspect", url.Values{}, basic(agentID, agentSecret)); a.Status != 400 || a.Error != "invalid_request" {
		t.Errorf("introspect: %+v", a)
	}
}
