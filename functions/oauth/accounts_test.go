package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/oauth/upstream"
)

// visitAccounts signs a person in to look after their accounts, and returns the page.
func (r *rig) visitAccounts(b *http.Client, user, path string) string {
	r.t.Helper()
	status, to, body := r.visit(b, "GET", r.url+path, nil)
	if status == 200 {
		return body
	}
	_, back, _ := r.visit(b, "POST", to, url.Values{"user": {user}})
	_, page, body := r.visit(b, "GET", back, nil)
	if page != r.url+path {
		r.t.Fatalf("led to %q %s", page, body)
	}
	_, _, body = r.visit(b, "GET", page, nil)
	return body
}

func TestAccountsPage(t *testing.T) {
	r, up := newAccountRig(t)
	b := r.browser()
	if body := r.visitAccounts(b, "alice", "/accounts"); !strings.Contains(body, "You have none.") || !strings.Contains(body, `href="/connect/notes"`) || strings.Contains(body, "other") {
		t.Fatal(body)
	}
	status, location, body := r.connectFrom(b, r.url+"/connect/notes")
	if status != http.StatusSeeOther || location != r.url+"/accounts" {
		t.Fatalf("%d %q %s", status, location, body)
	}
	if body := r.visitAccounts(b, "alice", "/accounts"); !strings.Contains(body, `aria-label="Remove notes"`) || !strings.Contains(body, hostOf(up.URL)) || strings.Contains(body, "Not connected") {
		t.Error(body)
	}
	alice := r.tokens("alice").Access
	theirs := r.exchange(shimID, alice).Access
	remove := url.Values{"server": {"notes"}}
	for name, header := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		req, _ := http.NewRequest("POST", r.url+"/accounts/remove", strings.NewReader(remove.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set(name, header)
		resp, err := b.Do(req)
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v %v", header, resp, err)
		}
		resp.Body.Close()
	}
	if status, _, _ := r.visit(r.browser(), "POST", r.url+"/accounts/remove", remove); status != 401 {
		t.Errorf("without a sign-in: %d", status)
	}
	bob := r.browser()
	r.visitAccounts(bob, "bob", "/accounts")
	r.visit(bob, "POST", r.url+"/accounts/remove", remove)
	if _, good := up.Knows(theirs); !good {
		t.Fatal("somebody else removed it")
	}
	if status, location, _ := r.visit(b, "POST", r.url+"/accounts/remove", remove); status != http.StatusSeeOther || location != r.url+"/accounts" {
		t.Errorf("%d %q", status, location)
	}
	if _, good := up.Knows(theirs); good {
		t.Error("the token is good where it is from")
	}
	if got := r.exchange(shimID, alice); got.Status != 400 || got.Error != "interaction_required" || got.Page != r.url+"/connect/notes" || got.Access != "" {
		t.Errorf("a removed account: %+v", got)
	}
}

// The shim of a server gets its callers' own tokens, and nobody else's.
func TestAccountExchange(t *testing.T) {
	r, up := newAccountRig(t)
	alice := r.connected(r.browser(), "alice").Access
	for name, subject := range map[string]string{"ours": alice, "the provider's": r.providerToken("alice", r.resource("notes"), time.Hour)} {
		if got := r.exchange(shimID, subject, "resource", up.Resource); got.Status != 200 || !strings.HasPrefix(got.Access, "at-") || got.Refresh != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	other := r.request(staticID, staticRedirect)
	other.Set("resource", r.resource("other"))
	forOther := r.redeem(r.code(other, "alice").Get("code"), "resource", r.resource("other")).Access
	agent := r.post("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {agentID}, "client_secret": {agentSecret}, "resource": {r.resource("notes")}}).Access
	bobs := r.providerToken("bob", r.resource("notes"), time.Hour)
	for name, tt := range map[string]struct {
		client, subject string
		more            []string
		code            string
	}{
		"another person":       {shimID, bobs, nil, "interaction_required"},
		"another server":       {shimID, forOther, nil, "invalid_request"},
		"a program":            {shimID, agent, nil, "access_denied"},
		"another client":       {agentID, alice, nil, "unauthorized_client"},
		"a stranger":           {"nobody", alice, nil, "invalid_client"},
		"for something else":   {shimID, alice, []string{"resource", "https://other.example"}, "invalid_target"},
		"a token of this kind": {shimID, alice, []string{"requested_token_type", typeJWT}, "invalid_request"},
		"no token":             {shimID, "x", nil, "invalid_request"},
	} {
		if got := r.exchange(tt.client, tt.subject, tt.more...); got.Error != tt.code || got.Access != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := r.exchange(shimID, r.providerToken("alice", r.resource("notes"), 0)); got.Access != "" {
		t.Errorf("an expired one: %+v", got)
	}
	sum := sha256.Sum256([]byte(r.exchange(shimID, alice).Access))
	r.pass(time.Minute)
	before := up.Counted("/token")
	if got := r.exchange(shimID, alice, refusedParameter, base64.RawURLEncoding.EncodeToString(sum[:])); got.Status != 200 || up.Counted("/token") != before+1 {
		t.Errorf("a refused token is not renewed: %+v", got)
	}
	up.Before = func(w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/token" {
			w.WriteHeader(http.StatusBadGateway)
		}
		return q.URL.Path == "/token"
	}
	r.pass(2 * time.Hour)
	if got := r.exchange(shimID, r.providerToken("alice", r.resource("notes"), time.Hour)); got.Status != 503 || got.Error != "temporarily_unavailable" {
		t.Errorf("while its sign-in is down: %+v", got)
	}
}

func TestClientDocument(t *testing.T) {
	r, _ := newAccountRig(t)
	at := r.url + "/connect/notes/client.json"
	resp, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m upstream.About
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || m.ID != at || len(m.Redirects) != 1 || m.Redirects[0] != r.url+"/connect/notes/callback" || m.Auth != "none" ||
		resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v %v", m, err)
	}
	if status, _, _ := r.visit(r.browser(), "GET", r.url+"/connect/other/client.json", nil); status != 404 {
		t.Errorf("of a server without one: %d", status)
	}
}
