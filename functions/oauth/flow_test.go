package main

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity"
	"mcpgateway/localstack/issuer"
)

func (r *rig) verify(token, resource string) (identity.Identity, error) {
	v, err := identity.NewVerifier(identity.Config{Issuers: r.server.documents.Load().Platform.Issuers, Logger: slog.New(slog.DiscardHandler), Now: r.now})
	if err != nil {
		r.t.Fatal(err)
	}
	return v.Verify(r.t.Context(), token, []string{resource})
}

// The gateway's own verifier takes the token, for one server, as the person at the provider.
func TestSignIn(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	got, err := r.verify(a.Access, r.resource("notes"))
	if err != nil {
		t.Fatal(err)
	}
	if left := got.Expiry.Sub(r.now()); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("valid for %v", left)
	}
	want := identity.Identity{Issuer: r.provider.URL, Subject: "alice", Groups: []string{"engineering"}, Client: staticID, Scopes: []string{"mcp"}, Expiry: got.Expiry}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := r.verify(a.Access, r.resource("other")); err == nil {
		t.Error("the token opens another server")
	}
}

func TestDenied(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	id, _ := r.signIn(b, r.request(staticID, staticRedirect), "alice")
	_, location, _ := r.visit(b, "POST", r.url+"/consent", url.Values{"question": {id}, "answer": {"deny"}})
	u, _ := url.Parse(location)
	if q := u.Query(); q.Get("error") != "access_denied" || q.Get("iss") != r.url || q.Get("state") != "st/ate" || q.Has("code") {
		t.Errorf("led to %q", location)
	}
}

func TestConsentBoundToBrowser(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	id, _ := r.signIn(b, r.request(staticID, staticRedirect), "alice")
	form := url.Values{"question": {id}, "answer": {"allow"}}
	if status, location, _ := r.visit(r.browser(), "POST", r.url+"/consent", form); status != 400 || location != "" {
		t.Errorf("another browser: %d %q", status, location)
	}
	req, _ := http.NewRequest("POST", r.url+"/consent", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", r.gateway)
	if resp, err := b.Do(req); err != nil || resp.StatusCode != 400 {
		t.Errorf("a page of the gateway's origin: %v, %v", resp, err)
	}
	if status, location, _ := r.visit(b, "POST", r.url+"/consent", form); status != http.StatusSeeOther || !strings.Contains(location, "code=") {
		t.Errorf("the right one: %d %q", status, location)
	}
	if status, location, _ := r.visit(b, "POST", r.url+"/consent", form); status != 400 || location != "" {
		t.Errorf("a second time: %d %q", status, location)
	}
}

func TestCallbackBoundToBrowser(t *testing.T) {
	r := newRig(t, twoServers)
	b := r.browser()
	_, to, _ := r.visit(b, "GET", r.url+"/authorize?"+r.request(staticID, staticRedirect).Encode(), nil)
	_, back, _ := r.visit(b, "POST", to, url.Values{"user": {"alice"}})
	if status, location, _ := r.visit(r.browser(), "GET", back, nil); status != 400 || location != "" {
		t.Errorf("another browser: %d %q", status, location)
	}
	mixed, _ := url.Parse(back)
	q := mixed.Query()
	q.Set("iss", "https://other.example")
	mixed.RawQuery = q.Encode()
	if _, location, _ := r.visit(b, "GET", mixed.String(), nil); !strings.Contains(location, "error=access_denied") {
		t.Errorf("another provider's answer: %q", location)
	}
	if status, location, _ := r.visit(b, "GET", back, nil); status != 400 || location != "" {
		t.Errorf("a second time: %d %q", status, location)
	}
}

func TestCode(t *testing.T) {
	r := newRig(t, twoServers)
	fresh := func() string { return r.code(r.request(staticID, staticRedirect), "alice").Get("code") }
	for name, tc := range map[string]struct {
		change []string
		error  string
	}{
		"wrong verifier":     {[]string{"code_verifier", verifier + "x"}, "invalid_grant"},
		"no verifier":        {[]string{"code_verifier", ""}, "invalid_grant"},
		"swapped resource":   {[]string{"resource", r.resource("other")}, "invalid_target"},
		"another redirect":   {[]string{"redirect_uri", "http://127.0.0.1:1/cb"}, "invalid_grant"},
		"foreign resource":   {[]string{"resource", "https://evil.example/mcp-connect/notes"}, "invalid_target"},
		"made up":            {[]string{"code", r.random()}, "invalid_grant"},
		"another client's":   {[]string{"client_id", "unknown"}, "invalid_client"},
		"password":           {[]string{"grant_type", "password"}, "unsupported_grant_type"},
		"agent's grant":      {[]string{"grant_type", "client_credentials"}, "unauthorized_client"},
		"secret of a public": {[]string{"client_secret", "x"}, "invalid_client"},
	} {
		if a := r.redeem(fresh(), tc.change...); a.Error != tc.error || a.Access != "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	code := fresh()
	r.pass(time.Minute + time.Second)
	if a := r.redeem(code); a.Error != "invalid_grant" {
		t.Errorf("an expired code: %+v", a)
	}
	code = fresh()
	first, second := r.redeem(code), r.redeem(code)
	if first.Status != 200 || second.Error != "invalid_grant" {
		t.Fatalf("%+v, %+v", first, second)
	}
	if a := r.refresh(first.Refresh); a.Error != "invalid_grant" {
		t.Errorf("the grant of a code that was used twice goes on: %+v", a)
	}
}

func TestRefreshRotates(t *testing.T) {
	r := newRig(t, twoServers)
	first := r.tokens("alice")
	second := r.refresh(first.Refresh)
	if second.Status != 200 || second.Refresh == first.Refresh {
		t.Fatalf("%+v", second)
	}
	if again := r.refresh(first.Refresh); again.Refresh != second.Refresh {
		t.Errorf("within the grace period: %+v", again)
	}
	third := r.refresh(second.Refresh)
	if third.Status != 200 {
		t.Fatalf("%+v", third)
	}
	r.pass(31 * time.Second)
	if a := r.refresh(second.Refresh); a.Error != "invalid_grant" {
		t.Errorf("reuse: %+v", a)
	}
	if a := r.refresh(third.Refresh); a.Error != "invalid_grant" {
		t.Errorf("after reuse the grant goes on: %+v", a)
	}
}

func TestRefreshTwiceAtOnce(t *testing.T) {
	r := newRig(t, twoServers)
	first := r.tokens("alice")
	var all sync.WaitGroup
	answers := make([]answered, 4)
	for i := range answers {
		all.Go(func() { answers[i] = r.refresh(first.Refresh) })
	}
	all.Wait()
	for _, a := range answers {
		if a.Status != 200 || a.Refresh != answers[0].Refresh {
			t.Errorf("%+v, want %+v", a, answers[0])
		}
	}
	if a := r.refresh(answers[0].Refresh); a.Status != 200 {
		t.Errorf("what both got is no good: %+v", a)
	}
}

func TestProviderDecidesAtRefresh(t *testing.T) {
	r := newRig(t, twoServers)
	alice, bob := r.tokens("alice"), r.tokens("bob")
	r.serveUsers([]issuer.User{{Name: "alice", Groups: []string{"sales"}}})
	r.restart()
	alice = r.refresh(alice.Refresh)
	if who, err := r.verify(alice.Access, r.resource("notes")); err != nil || !cmp.Equal(who.Groups, []string{"sales"}) {
		t.Errorf("moved: %+v, %v", who, err)
	}
	if a := r.refresh(bob.Refresh); a.Error != "invalid_grant" {
		t.Errorf("disabled: %+v", a)
	}
	r.serveUsers(r.users)
	if a := r.refresh(bob.Refresh); a.Error != "invalid_grant" {
		t.Errorf("enabled again, the old grant goes on: %+v", a)
	}
}

func TestProviderDown(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	r.upstream.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	if a := r.refresh(a.Refresh); a.Status != 503 || a.Error != "temporarily_unavailable" {
		t.Fatalf("%+v", a)
	}
	r.pass(11 * time.Hour)
	r.serveUsers(r.users)
	b := r.refresh(a.Refresh)
	if b.Status != 200 {
		t.Fatalf("up again: %+v", b)
	}
	r.upstream.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	r.pass(13 * time.Hour)
	if a := r.refresh(b.Refresh); a.Error != "invalid_grant" {
		t.Errorf("down for half a day: %+v", a)
	}
}

func TestGrantEnds(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	for range 29 {
		r.pass(24 * time.Hour)
		if a = r.refresh(a.Refresh); a.Status != 200 {
			t.Fatalf("%+v", a)
		}
	}
	r.pass(25 * time.Hour)
	if a := r.refresh(a.Refresh); a.Error != "invalid_grant" {
		t.Errorf("after 30 days: %+v", a)
	}
}

func TestRevoke(t *testing.T) {
	r := newRig(t, twoServers)
	a := r.tokens("alice")
	form := func(token string) url.Values { return url.Values{"client_id": {staticID}, "token": {token}} }
	if got := r.post("/revoke", form(a.Access)); got.Error != "unsupported_token_type" {
		t.Errorf("an access token: %+v", got)
	}
	for _, token := range []string{"nonsense", a.Refresh} {
		if got := r.post("/revoke", form(token)); got.Status != 200 {
			t.Errorf("%+v", got)
		}
	}
	if got := r.refresh(a.Refresh); got.Error != "invalid_grant" {
		t.Errorf("revoked: %+v", got)
	}
}

func TestAgent(t *testing.T) {
	r := newRig(t, twoServers)
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {r.resource("notes")}}
	a := r.post("/token", form, func(q *http.Request) { q.SetBasicAuth(agentID, agentSecret) })
	who, err := r.verify(a.Access, r.resource("notes"))
	if err != nil || who.Issuer != r.url || who.Subject != agentID || a.Refresh != "" || len(who.Groups) > 0 {
		t.Errorf("%+v, %v, %+v", who, err, a)
	}
	if a := r.post("/token", form, func(q *http.Request) { q.SetBasicAuth(agentID, "wrong") }); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("%+v", a)
	}
	tell := func(token string) answered {
		return r.post("/introspect", url.Values{"token": {token}}, func(q *http.Request) { q.SetBasicAuth(agentID, agentSecret) })
	}
	if got := tell(a.Access); got.Status != 200 || got.Scope != "mcp" {
		t.Errorf("introspected: %+v", got)
	}
	if got := tell(r.tokens("alice").Refresh); got.Status != 200 || got.Scope != "" {
		t.Errorf("another client's refresh token: %+v", got)
	}
}
