package main

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/internal/apikey"
	"mcpgateway/internal/identity"
	"mcpgateway/localstack/issuer"
)

// visitor is somebody in their browser, at the page of their API keys.
type visitor struct {
	*rig
	browser *http.Client
}

var (
	newKey   = regexp.MustCompile(apikey.Prefix + `[A-Za-z0-9_-]{87}`)
	revoking = regexp.MustCompile(`name="key" value="([^"]+)"`)
)

// visitor signs somebody in at the page of keys.
func (r *rig) visitor(user string) *visitor {
	r.t.Helper()
	v := &visitor{r, r.browser()}
	_, to, body := r.visit(v.browser, "GET", r.url+keysPath, nil)
	if !strings.HasPrefix(to, r.provider.URL) {
		r.t.Fatalf("not led to sign in: %q %s", to, body)
	}
	_, back, _ := r.visit(v.browser, "POST", to, url.Values{"user": {user}})
	if _, to, body = r.visit(v.browser, "GET", back, nil); to != r.url+keysPath {
		r.t.Fatalf("led to %q %s", to, body)
	}
	return v
}

// page is the page of keys.
func (v *visitor) page() string {
	v.t.Helper()
	status, _, body := v.visit(v.browser, "GET", v.url+keysPath, nil)
	if status != 200 {
		v.t.Fatalf("%d %s", status, body)
	}
	return body
}

// make makes a key for servers, and returns its text.
func (v *visitor) make(servers ...string) string {
	v.t.Helper()
	_, _, body := v.visit(v.browser, "POST", v.url+keysPath, url.Values{"label": {"night run"}, "server": servers, "days": {"7"}})
	key := newKey.FindString(body)
	if !apikey.Is(key) {
		v.t.Fatalf("no key: %s", body)
	}
	return key
}

// useKey is what the gateway does with a key.
func (r *rig) useKey(key, server string) answered {
	r.t.Helper()
	return r.post("/token", r.keyForm(key, server))
}

func (r *rig) keyForm(key, server string) url.Values {
	return url.Values{"grant_type": {client.GrantExchange}, "client_id": {apikey.Client}, "subject_token": {key}, "subject_token_type": {apikey.TokenType},
		"resource": {r.resource(server)}}
}

func TestKey(t *testing.T) {
	r := newRig(t, twoServers)
	alice := r.visitor("alice")
	if !strings.Contains(alice.page(), "You have none.") {
		t.Error(alice.page())
	}
	key := alice.make("notes")
	got := r.useKey(key, "notes")
	who, err := r.verify(got.Access, r.resource("notes"))
	if got.Status != 200 || got.Refresh != "" || got.Issued != typeAccess || got.Life > 240 || err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	want := identity.Identity{Issuer: r.provider.URL, Subject: "alice", Groups: []string{"engineering"}, Client: who.Client, Scopes: []string{"mcp"}, Expiry: who.Expiry}
	if diff := cmp.Diff(want, who); diff != "" || !strings.HasPrefix(who.Client, "key:") {
		t.Error(who.Client, diff)
	}
	if got := r.useKey(key, "other"); got.Error != "invalid_target" || got.Access != "" {
		t.Errorf("a server that the key is not for: %+v", got)
	}
	listed := alice.page()
	if strings.Contains(listed, key) || strings.Contains(listed, key[len(key)-43:]) {
		t.Error("the key is shown again")
	}
	if !strings.Contains(listed, "night run") || !strings.Contains(listed, "<dd>notes</dd>") {
		t.Errorf("not listed: %s", listed)
	}
	data, err := os.ReadFile(filepath.Join(r.server.documents.Load().Platform.OAuth.State, storeFile))
	if err != nil || bytes.Contains(data, []byte(key[len(key)-43:])) {
		t.Errorf("the store holds the key, %v", err)
	}
	r.restart()
	if got := r.useKey(key, "notes"); got.Status != 200 {
		t.Errorf("after a restart: %+v", got)
	}
}

// Five minutes after a key was revoked nothing made of it is good: not what was given in the moment before, nor by who allows for
// clocks that differ.
func TestRevokedKeyEnds(t *testing.T) {
	r := newRig(t, twoServers)
	alice := r.visitor("alice")
	key, kept := alice.make("notes"), alice.make("notes")
	last := r.useKey(key, "notes")
	ids := revoking.FindAllStringSubmatch(alice.page(), -1)
	if len(ids) != 2 {
		t.Fatal(alice.page())
	}
	bob := r.visitor("bob")
	for _, id := range ids {
		if strings.Contains(bob.page(), id[1]) {
			t.Error("somebody else sees the key")
		}
		r.visit(bob.browser, "POST", r.url+keysPath+"/revoke", url.Values{"key": {id[1]}})
	}
	if got := r.useKey(key, "notes"); got.Status != 200 {
		t.Fatalf("somebody else revoked it: %+v", got)
	}
	if status, to, _ := r.visit(alice.browser, "POST", r.url+keysPath+"/revoke", url.Values{"key": {ids[1][1]}}); status != http.StatusSeeOther || to != r.url+keysPath {
		t.Errorf("%d %s", status, to)
	}
	if got := r.useKey(key, "notes"); got.Error != "invalid_request" || got.Access != "" {
		t.Errorf("a revoked key: %+v", got)
	}
	if got := r.useKey(kept, "notes"); got.Status != 200 {
		t.Errorf("another key: %+v", got)
	}
	r.pass(5 * time.Minute)
	if _, err := r.verify(last.Access, r.resource("notes")); err == nil {
		t.Error("what was given before is good for longer than five minutes")
	}
}

// A key is worth what its owner is at the provider now.
func TestKeyFollowsProvider(t *testing.T) {
	r := newRig(t, twoServers)
	key := r.visitor("alice").make("notes")
	groups := func() string {
		t.Helper()
		got := r.useKey(key, "notes")
		if got.Status != 200 {
			return got.Error
		}
		who, err := r.verify(got.Access, r.resource("notes"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(who.Groups, " ")
	}
	r.serveUsers([]issuer.User{{Name: "alice", Groups: []string{"sales"}}, {Name: "bob"}})
	r.pass(5 * time.Minute)
	if got := groups(); got != "sales" {
		t.Errorf("groups %q", got)
	}
	r.upstream.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	r.pass(5 * time.Minute)
	if got := groups(); got != "temporarily_unavailable" {
		t.Errorf("while the provider is down: %q", got)
	}
	r.serveUsers([]issuer.User{{Name: "alice", Groups: []string{"sales"}}, {Name: "bob"}})
	if got := groups(); got != "sales" {
		t.Errorf("when it is back: %q", got)
	}
	r.serveUsers([]issuer.User{{Name: "bob"}})
	r.pass(5 * time.Minute)
	if got := groups(); got != "invalid_request" {
		t.Errorf("disabled: %q", got)
	}
	r.serveUsers(issuer.DefaultUsers())
	if got := groups(); got != "invalid_request" {
		t.Errorf("enabled, and did not sign in yet: %q", got)
	}
	r.visitor("alice")
	if got := groups(); got != "engineering" {
		t.Errorf("signed in again: %q", got)
	}
	r.pass(8 * 24 * time.Hour)
	r.visitor("alice")
	if got := groups(); got != "invalid_request" {
		t.Errorf("after seven days: %q", got)
	}
	if page := r.visitor("alice").page(); !strings.Contains(page, "You have none.") {
		t.Errorf("after seven days it is listed: %s", page)
	}
}

// The provider's refresh token changes with its use: many who use keys at once ask once.
func TestKeysAskOnce(t *testing.T) {
	r := newRig(t, twoServers)
	alice := r.visitor("alice")
	keys := []string{alice.make("notes"), alice.make("other")}
	r.pass(5 * time.Minute)
	var asked atomic.Int32
	up := r.upstream.Load().(http.HandlerFunc)
	r.upstream.Store(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == "POST" {
			asked.Add(1)
			time.Sleep(50 * time.Millisecond)
		}
		up(w, q)
	}))
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			if got := r.useKey(keys[n%2], []string{"notes", "other"}[n%2]); got.Status != 200 {
				t.Errorf("%+v", got)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// A key is made by its owner's own hand, for servers that they may use.
func TestKeysThatAreNotMade(t *testing.T) {
	r := newRig(t, twoServers)
	r.write("catalog.yaml", "apiVersion: v1\nservers:\n"+twoServers+
		"policies:\n- {name: a, allow: {anyone: true}, servers: [notes]}\n- {name: b, allow: {groups: [sales]}, servers: [other]}\n")
	r.restart()
	alice := r.visitor("alice")
	if page := alice.page(); !strings.Contains(page, `value="notes"`) || strings.Contains(page, "other") {
		t.Errorf("offered: %s", page)
	}
	if page := r.visitor("bob").page(); !strings.Contains(page, `value="other"`) {
		t.Errorf("offered to bob: %s", page)
	}
	good := url.Values{"server": {"notes"}, "days": {"7"}}
	for name, change := range map[string]url.Values{
		"no server":         {"server": nil},
		"not admitted":      {"server": {"notes", "other"}},
		"unknown":           {"server": {"missing"}},
		"for ever":          {"days": {"36500"}},
		"another time":      {"days": {"8"}},
		"no time":           {"days": {""}},
		"a long name":       {"label": {strings.Repeat("x", grant.MaxLabel+1)}},
		"a parameter twice": {"days": {"7", "7"}},
	} {
		form := url.Values{"server": good["server"], "days": good["days"]}
		for k, v := range change {
			form[k] = v
		}
		if _, _, body := r.visit(alice.browser, "POST", r.url+keysPath, form); newKey.MatchString(body) {
			t.Errorf("%s: made", name)
		}
	}
	for name, headers := range map[string][2]string{"another origin": {"Origin", "https://evil.example"}, "another site": {"Sec-Fetch-Site", "cross-site"}, "same site": {"Sec-Fetch-Site", "same-site"}} {
		for _, path := range []string{keysPath, keysPath + "/revoke"} {
			req, _ := http.NewRequest("POST", r.url+path, strings.NewReader(good.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(headers[0], headers[1])
			resp, err := alice.browser.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("from %s at %s: %s", name, path, resp.Status)
			}
		}
	}
	for _, path := range []string{keysPath, keysPath + "/revoke"} {
		if status, to, body := r.visit(r.browser(), "POST", r.url+path, good); status != http.StatusUnauthorized || to != "" || !strings.Contains(body, "open "+r.url+keysPath) {
			t.Errorf("without a sign-in: %d, led to %q %s", status, to, body)
		}
	}
	if !strings.Contains(alice.page(), "You have none.") {
		t.Error(alice.page())
	}
	for range grant.MaxKeys {
		alice.make("notes")
	}
	if _, _, body := r.visit(alice.browser, "POST", r.url+keysPath, good); newKey.MatchString(body) || !strings.Contains(body, "revoke one of them first") {
		t.Error("one key more is made")
	}
	at := mustURL(t, r.url)
	cookie := *alice.browser.Jar.Cookies(at)[0]
	forged := r.browser()
	cookie.Value = cookie.Value[:len(cookie.Value)-4] + "AAAA"
	forged.Jar.SetCookies(at, []*http.Cookie{&cookie})
	if _, to, _ := r.visit(forged, "GET", r.url+keysPath, nil); !strings.HasPrefix(to, r.provider.URL) {
		t.Errorf("a cookie that was made up: led to %q", to)
	}
	r.pass(grant.AccountLife)
	if _, to, _ := r.visit(alice.browser, "GET", r.url+keysPath, nil); !strings.HasPrefix(to, r.provider.URL) {
		t.Errorf("a quarter of an hour later: led to %q", to)
	}
}

// What is no key of anybody's is one answer.
func TestNoKey(t *testing.T) {
	r := newRig(t, twoServers)
	alice := r.visitor("alice")
	key := alice.make("notes")
	for name, text := range map[string]string{
		"none":              "",
		"another end":       key[:len(key)-4] + "AAAA",
		"another key's id":  key[:30] + strings.Repeat("A", 18) + key[48:],
		"short":             key[:40],
		"a refresh token":   r.tokens("alice").Refresh,
		"an access token":   r.tokens("alice").Access,
		"the page's cookie": alice.browser.Jar.Cookies(mustURL(t, r.url))[0].Value,
	} {
		if got := r.useKey(text, "notes"); got.Error != "invalid_request" || got.Access != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	form := r.keyForm(key, "notes")
	form.Set("subject_token_type", typeAccess)
	if got := r.post("/token", form); got.Error != "invalid_request" {
		t.Errorf("as an access token: %+v", got)
	}
	form.Set("subject_token_type", apikey.TokenType)
	for _, resource := range []string{r.url, gatewayURL, "https://elsewhere.example/mcp-connect/notes"} {
		form["resource"] = []string{resource}
		if got := r.post("/token", form); got.Error != "invalid_target" {
			t.Errorf("for %s: %+v", resource, got)
		}
	}
	if got := r.post("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {apikey.Client}, "resource": {r.resource("notes")}}); got.Error != "unauthorized_client" {
		t.Errorf("the gateway acts for itself: %+v", got)
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
