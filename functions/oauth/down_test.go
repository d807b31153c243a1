package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// down closes the store, until the next restart.
func (r *rig) down() { r.server.store.(interface{ Close() error }).Close() }

// While the store is down nobody is told that something of theirs is invalid, which clients would throw away.
func TestStoreDownEverywhere(t *testing.T) {
	r := newRig(t, twoServers)
	_, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`)
	id := m["client_id"].(string)
	a := r.tokens("alice")
	r.pass(2 * time.Minute) // keys are read anew
	code := r.code(r.request(staticID, staticRedirect), "alice").Get("code")
	asked, back := r.browser(), r.browser()
	question, _ := r.signIn(asked, r.request(staticID, staticRedirect), "alice")
	way := r.back(back, r.request(staticID, staticRedirect))
	r.down()
	for name, got := range map[string]answered{
		"code": r.redeem(code), "refresh": r.refresh(a.Refresh), "agent": r.post("/token", agentForm(r), basic(agentID, agentSecret)),
		"unknown or not": r.redeem(code, "client_id", id), "revoke": r.post("/revoke", url.Values{"client_id": {staticID}, "token": {a.Refresh}}),
		"introspect":           r.post("/introspect", url.Values{"token": {a.Access}}, basic(agentID, agentSecret)),
		"introspect a refresh": r.post("/introspect", url.Values{"token": {a.Refresh}}, basic(agentID, agentSecret)),
	} {
		if got.Status != 503 || got.Error != "temporarily_unavailable" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if status, m := r.register(`{"redirect_uris":["http://127.0.0.1/cb"]}`); status != 503 || m["error"] != "temporarily_unavailable" || strings.Contains(m["error_description"].(string), "database") {
		t.Errorf("register: %d %v", status, m)
	}
	req, _ := http.NewRequest("GET", m["registration_client_uri"].(string), nil)
	req.Header.Set("Authorization", "Bearer "+m["registration_access_token"].(string))
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("manage: %+v, %v", resp, err)
	}
	resp, err = http.PostForm(r.url+"/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {staticID}, "refresh_token": {a.Refresh}})
	if err != nil || resp.Header.Get("Retry-After") != "30" {
		t.Errorf("when to come again: %+v, %v", resp, err)
	}
	if status, _, _ := r.visit(r.browser(), "GET", r.url+"/jwks", nil); status != 503 {
		t.Errorf("keys: %d", status)
	}
	r.pagesWhileDown(id, question, way, asked, back)
}

// pagesWhileDown are those that people see.
func (r *rig) pagesWhileDown(id, question, way string, asked, back *http.Client) {
	r.t.Helper()
	if status, location, _ := r.visit(r.browser(), "GET", r.url+"/authorize?"+r.request(id, staticRedirect).Encode(), nil); status != 503 || location != "" {
		r.t.Errorf("authorize: %d %q", status, location)
	}
	if _, location, _ := r.visit(back, "GET", way, nil); !strings.Contains(location, "error=temporarily_unavailable") {
		r.t.Errorf("callback: %q", location)
	}
	if status, location, body := r.visit(asked, "POST", r.url+"/consent", url.Values{"question": {question}, "answer": {"allow"}}); status != 503 || location != "" || strings.Contains(body, "database") {
		r.t.Errorf("consent: %d %q %s", status, location, body)
	}
	if status, _, _ := r.visit(r.browser(), "GET", r.url+"/.well-known/oauth-authorization-server", nil); status != 200 {
		r.t.Errorf("metadata: %d", status)
	}
}

// A provider that is down is no refusal, wherever it is met.
func TestProviderDownAtSignIn(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	way := r.back(b, r.request(staticID, staticRedirect))
	r.upstream.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	if _, location, _ := r.visit(b, "GET", way, nil); !strings.Contains(location, "error=temporarily_unavailable") || !strings.Contains(location, "state=st%2Fate") {
		t.Errorf("%q", location)
	}
	r.restart() // it has not been met before
	if _, location, _ := r.visit(b, "GET", r.url+"/authorize?"+r.request(staticID, staticRedirect).Encode(), nil); !strings.Contains(location, "error=temporarily_unavailable") {
		t.Errorf("%q", location)
	}
}
