package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"mcpgateway/functions/oauth/client"
)

// The request shapes of real clients are in a file each, shape_*_test.go, from ../shared/reference/oauth-clients.md.

// shape is what a client does from the server's URL on.
type shape struct {
	client    string // its id; that of a registration where empty
	register  string // metadata
	document  string // metadata at the client id
	redirect  string // as it asks
	authorize url.Values
	noneAsked bool // it sends no resource
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// serveDocument has the network answer at the client's address.
func (r *rig) serveDocument(id, text string) {
	r.server.clients.Documents = client.NewDocuments(r.now, transport(func(q *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		if q.URL.String() != id {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.WriteString(text)
		return w.Result(), nil
	}))
}

// signsIn walks the client's whole way: it registers, signs in, has a token for one server, and refreshes it.
func (r *rig) signsIn(s shape) (first, second answered) {
	r.t.Helper()
	id := s.client
	if s.register != "" {
		status, m := r.register(s.register)
		if status != http.StatusCreated {
			r.t.Fatalf("register: %d %v", status, m)
		}
		id, _ = m["client_id"].(string)
	}
	if s.document != "" {
		r.serveDocument(id, s.document)
	}
	q := r.request(id, s.redirect)
	for name, values := range s.authorize {
		q[name] = values
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "redirect_uri": {s.redirect}, "code_verifier": {verifier}, "resource": q["resource"]}
	again := url.Values{"grant_type": {"refresh_token"}, "client_id": {id}, "resource": q["resource"]}
	if s.noneAsked {
		for _, v := range []url.Values{q, form, again} {
			v.Del("resource")
		}
	}
	form.Set("code", r.code(q, "alice").Get("code"))
	first = r.post("/token", form)
	if who, err := r.verify(first.Access, r.resource("notes")); err != nil || who.Subject != "alice" || who.Client != id {
		r.t.Fatalf("%+v: %+v, %v", first, who, err)
	}
	again.Set("refresh_token", first.Refresh)
	if second = r.post("/token", again); second.Status != 200 || second.Refresh == first.Refresh {
		r.t.Fatalf("refresh: %+v", second)
	}
	return first, second
}

func TestDocumentedClientIsRemembered(t *testing.T) {
	r := newRig(t, twoServers)
	r.serveDocument(claudeID, claudeDocument)
	r.code(r.request(claudeID, claudeRedirect), "alice")
	b := r.browser()
	if id, location := r.signIn(b, r.request(claudeID, claudeRedirect), "alice"); id != "" || location == "" {
		t.Error("asked again")
	}
	other := r.request(claudeID, claudeRedirect)
	other.Set("resource", r.resource("other"))
	if id, _ := r.signIn(b, other, "alice"); id == "" {
		t.Error("not asked for another server")
	}
	if id, _ := r.signIn(r.browser(), r.request(claudeID, claudeRedirect), "bob"); id == "" {
		t.Error("not asked as somebody else")
	}
	asks := r.request(claudeID, claudeRedirect)
	asks.Set("prompt", "consent")
	if id, _ := r.signIn(b, asks, "alice"); id == "" {
		t.Error("not asked though the client wants it")
	}
}
