package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/identity"
	"mcpgateway/localstack/issuer"
)

// The shim of the server notes, and what is behind it; a client with tokens for all servers.
const shimID, behind, alsoBehind, portalID, sharedAudience = "notes-shim", "https://behind.example/api", "urn:behind", "portal", "api://mcp"

func exchangeRig(t *testing.T) *rig {
	r := newRig(t, twoServers)
	r.edit("    - {id: robot,", "    - {id: notes-shim, secret: robot, exchange: {server: notes, audiences: ['"+behind+"', '"+alsoBehind+"']}}\n"+
		"    - {id: portal, secret: robot, exchange: {shared: ['"+sharedAudience+"']}}\n    - {id: robot,")
	return r
}

// exchange asks for a token in place of another, as a client; more are further parameters.
func (r *rig) exchange(id, subject string, more ...string) answered {
	r.t.Helper()
	form := url.Values{"grant_type": {client.GrantExchange}, "subject_token": {subject}, "subject_token_type": {typeAccess}}
	for i := 0; i < len(more); i += 2 {
		if form[more[i]] = append(form[more[i]], more[i+1]); more[i] == "subject_token_type" {
			form[more[i]] = more[i+1 : i+2]
		}
	}
	return r.post("/token", form, func(q *http.Request) { q.SetBasicAuth(id, agentSecret) })
}

// providerToken is an access token of the provider's.
func (r *rig) providerToken(user, audience string, life time.Duration) string {
	r.t.Helper()
	i, err := issuer.NewInsecureIssuer(issuer.Config{URL: r.provider.URL, KeyFile: filepath.Join(r.dir, "issuer.pem"), Users: r.users, Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	text, err := i.Token(user, audience, life)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// A shim gets, for its caller's token and as who acts for the caller, one for what is behind it.
func TestShimExchanges(t *testing.T) {
	r := exchangeRig(t)
	alice := r.tokens("alice").Access
	for name, subject := range map[string]string{"ours": alice, "the provider's": r.providerToken("alice", r.resource("notes"), time.Hour)} {
		got := r.exchange(shimID, subject, "audience", behind)
		if got.Status != 200 || got.Issued != typeAccess || got.Refresh != "" || got.Life < 1 || got.Life > 600 || got.Scope != scopeMCP {
			t.Fatalf("%s: %+v", name, got)
		}
		who, err := r.verify(got.Access, behind)
		if err != nil {
			t.Fatal(name, err)
		}
		want := identity.Identity{Issuer: r.provider.URL, Subject: "alice", Groups: []string{"engineering"}, Client: shimID, Scopes: []string{"mcp"},
			Actor: `{"iss":"` + r.url + `","sub":"` + shimID + `"}`, Expiry: who.Expiry}
		if diff := cmp.Diff(want, who); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, err := r.verify(got.Access, r.resource("notes")); err == nil {
			t.Errorf("%s: it opens the server itself", name)
		}
	}
	if got := r.exchange(shimID, alice, "resource", alsoBehind, "requested_token_type", typeJWT); got.Status != 200 || got.Issued != typeJWT {
		t.Errorf("by resource: %+v", got)
	}
	agent := r.post("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {agentID}, "client_secret": {agentSecret}, "resource": {r.resource("notes")}})
	if who, err := r.verify(r.exchange(shimID, agent.Access, "audience", behind).Access, behind); err != nil || who.Subject != agentID || who.Issuer != r.url {
		t.Errorf("an agent becomes %+v, %v", who, err)
	}
}

// What a shim gets it gets for its own server's callers, and for nothing of this gateway.
func TestShimExchangesForItsServerOnly(t *testing.T) {
	r := exchangeRig(t)
	alice := r.tokens("alice").Access
	q := r.request(staticID, staticRedirect)
	q.Set("resource", r.resource("other"))
	elsewhere := r.redeem(r.code(q, "alice").Get("code"), "resource", r.resource("other")).Access
	got := r.exchange(shimID, alice, "audience", behind)
	for name, tt := range map[string]struct {
		subject string
		more    []string
		want    string
	}{
		"another server's token":         {elsewhere, []string{"audience", behind}, "invalid_request"},
		"another server's, provider's":   {r.providerToken("alice", r.resource("other"), time.Hour), []string{"audience", behind}, "invalid_request"},
		"what it got before":             {got.Access, []string{"audience", behind}, "invalid_request"},
		"a refresh token":                {r.tokens("alice").Refresh, []string{"audience", behind}, "invalid_request"},
		"another server":                 {alice, []string{"resource", r.resource("other")}, "invalid_target"},
		"its own server":                 {alice, []string{"resource", r.resource("notes")}, "invalid_target"},
		"this server":                    {alice, []string{"audience", r.url}, "invalid_target"},
		"no target where there are two":  {alice, nil, "invalid_target"},
		"two targets":                    {alice, []string{"audience", behind, "resource", alsoBehind}, "invalid_target"},
		"no subject":                     {"", []string{"audience", behind}, "invalid_request"},
		"an ID token":                    {alice, []string{"audience", behind, "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"},
		"no type":                        {alice, []string{"audience", behind, "subject_token_type", ""}, "invalid_request"},
		"a refresh token in its place":   {alice, []string{"audience", behind, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"},
		"an actor":                       {alice, []string{"audience", behind, "actor_token", alice, "actor_token_type", typeAccess}, "invalid_request"},
		"a forged one":                   {alice[:len(alice)-8] + "AAAAAAAA", []string{"audience", behind}, "invalid_request"},
		"a token for all servers":        {r.providerToken("alice", sharedAudience, time.Hour), []string{"audience", behind}, "invalid_request"},
		"an audience with another ahead": {alice, []string{"audience", alsoBehind + " " + behind}, "invalid_target"},
	} {
		if got := r.exchange(shimID, tt.subject, tt.more...); got.Error != tt.want || got.Access != "" || got.Status != 400 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, id := range []string{agentID} {
		if got := r.exchange(id, alice, "audience", behind); got.Error != "unauthorized_client" {
			t.Errorf("%s: %+v", id, got)
		}
	}
	if got := r.post("/token", url.Values{"grant_type": {client.GrantExchange}, "client_id": {staticID}, "subject_token": {alice}, "subject_token_type": {typeAccess}}); got.Error != "unauthorized_client" {
		t.Errorf("a client without a credential: %+v", got)
	}
	if got := r.exchange(shimID, alice, "audience", behind, "client_id", "robot"); got.Error != "invalid_client" {
		t.Errorf("as two clients: %+v", got)
	}
	if got := r.post("/token", url.Values{"grant_type": {"client_credentials"}, "resource": {r.resource("notes")}},
		func(q *http.Request) { q.SetBasicAuth(shimID, agentSecret) }); got.Error != "unauthorized_client" {
		t.Errorf("a shim acts for itself: %+v", got)
	}
}

// A token that is good for all servers becomes one for one, in the name of the same person.
func TestSharedAudience(t *testing.T) {
	r := exchangeRig(t)
	shared := r.providerToken("alice", sharedAudience, time.Hour)
	got := r.exchange(portalID, shared, "resource", r.resource("notes"))
	who, err := r.verify(got.Access, r.resource("notes"))
	if got.Status != 200 || got.Refresh != "" || err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	want := identity.Identity{Issuer: r.provider.URL, Subject: "alice", Groups: []string{"engineering"}, Client: portalID, Scopes: []string{"mcp"}, Expiry: who.Expiry}
	if diff := cmp.Diff(want, who); diff != "" {
		t.Error(diff)
	}
	if _, err := r.verify(got.Access, r.resource("other")); err == nil {
		t.Error("it opens another server")
	}
	for name, tt := range map[string]struct{ subject, resource, want string }{
		"one server's token, ours":       {got.Access, r.resource("other"), "invalid_request"},
		"one server's, the provider's":   {r.providerToken("alice", r.resource("notes"), time.Hour), r.resource("other"), "invalid_request"},
		"another audience":               {r.providerToken("alice", "api://other", time.Hour), r.resource("notes"), "invalid_request"},
		"expired":                        {r.providerToken("alice", sharedAudience, -2*time.Minute), r.resource("notes"), "invalid_request"},
		"expired, but for clocks' sakes": {r.providerToken("alice", sharedAudience, -time.Second), r.resource("notes"), "invalid_request"},
		"what is behind a server":        {shared, behind, "invalid_target"},
		"no server":                      {shared, "https://elsewhere.example/mcp-connect/notes", "invalid_target"},
	} {
		if got := r.exchange(portalID, tt.subject, "resource", tt.resource); got.Error != tt.want || got.Access != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := r.exchange(portalID, shared, "resource", r.resource("notes"), "audience", r.resource("other")); got.Error != "invalid_target" {
		t.Errorf("for two servers: %+v", got)
	}
}

// What is given lasts no longer than what was brought.
func TestExchangedEnds(t *testing.T) {
	r := exchangeRig(t)
	alice := r.tokens("alice").Access
	r.pass(9 * time.Minute)
	if got := r.exchange(shimID, alice, "audience", behind); got.Status != 200 || got.Life > 60 || got.Life < 50 {
		t.Errorf("in its last minute: %+v", got)
	}
	r.pass(time.Minute)
	if got := r.exchange(shimID, alice, "audience", behind); got.Error != "invalid_request" {
		t.Errorf("when it has expired: %+v", got)
	}
	if got := r.exchange(portalID, r.providerToken("alice", sharedAudience, 30*time.Second), "resource", r.resource("notes")); got.Status != 200 || got.Life > 30 {
		t.Errorf("a shared one: %+v", got)
	}
}

// While the provider's keys cannot be had the client may try again: the token is not called a bad one.
func TestExchangeWithoutKeys(t *testing.T) {
	r := exchangeRig(t)
	shared := r.providerToken("alice", sharedAudience, time.Hour)
	r.upstream.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	if got := r.exchange(portalID, shared, "resource", r.resource("notes")); got.Status != 503 || got.Error != "temporarily_unavailable" {
		t.Errorf("%+v", got)
	}
	r.serveUsers(r.users)
}

// Who acted before is named within who acts now (RFC 8693 section 4.1).
func TestActorsNest(t *testing.T) {
	r := exchangeRig(t)
	before := `{"sub":"front"}`
	text := r.signed(r.resource("notes"), before)
	who, err := r.verify(r.exchange(shimID, text, "audience", behind).Access, behind)
	if want := `{"act":` + before + `,"iss":"` + r.url + `","sub":"` + shimID + `"}`; err != nil || who.Actor != want {
		t.Errorf("%q, %v", who.Actor, err)
	}
}

// signed is an access token of this server's for alice with an act claim.
func (r *rig) signed(audience, act string) string {
	r.t.Helper()
	text, err := r.server.keys.Sign(r.t.Context(), token.Access{Issuer: r.url, Subject: identity.QualifiedSubject(r.provider.URL, "alice"),
		Audience: audience, Client: "front", Actor: json.RawMessage(act)}, token.Life)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}
