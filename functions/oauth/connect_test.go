package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"mcpgateway/functions/oauth/upstream/upstreamtest"
)

// newAccountRig has people connect accounts at the server notes.
func newAccountRig(t *testing.T) (*rig, *upstreamtest.Server) {
	t.Helper()
	r, up := newRig(t, twoServers), upstreamtest.Start(t)
	r.edit("    - {id: robot, secret: robot}\n", "    - {id: robot, secret: robot}\n    - {id: notes-shim, secret: robot, exchange: {server: notes, account: {resource: '"+up.Resource+
		"', egress: [{cidr: 127.0.0.1/32, ports: ["+up.URL[strings.LastIndex(up.URL, ":")+1:]+"]}]}}}\n")
	return r, up
}

var goLink = regexp.MustCompile(`href="([^"]+/go\?[^"]+)"`)
var skipLink = regexp.MustCompile(`href="([^"]+/skip\?[^"]+)"`)

func linkIn(t *testing.T, body string, link *regexp.Regexp) string {
	t.Helper()
	m := link.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no %v in %s", link, body)
	}
	return strings.ReplaceAll(m[1], "&amp;", "&")
}

// consent signs a person in for a client, up to where the consent leads.
func (r *rig) consent(b *http.Client, user string) (location string) {
	r.t.Helper()
	id, location := r.signIn(b, r.request(staticID, staticRedirect), user)
	if location == "" {
		_, location, _ = r.visit(b, "POST", r.url+"/consent", url.Values{"question": {id}, "answer": {"allow"}})
	}
	return location
}

// connectFrom goes on from the page that asks, to the sign-in of the server and back.
func (r *rig) connectFrom(b *http.Client, page string) (status int, location, body string) {
	r.t.Helper()
	status, _, body = r.visit(b, "GET", page, nil)
	if status != 200 {
		r.t.Fatalf("the page that asks: %d %s", status, body)
	}
	_, to, _ := r.visit(b, "GET", linkIn(r.t, body, goLink), nil)
	status, back, body := r.visit(b, "GET", to, nil)
	if status != http.StatusFound {
		r.t.Fatalf("the server's sign-in: %d %s %s", status, to, body)
	}
	return r.visit(b, "GET", back, nil)
}

// A person who signs in for a server that has a sign-in of its own is led there once, and then the server's shim has their token.
func TestConnectDuringSignIn(t *testing.T) {
	r, up := newAccountRig(t)
	b := r.browser()
	page := r.consent(b, "alice")
	if !strings.HasPrefix(page, r.url+"/connect/notes?question=") {
		t.Fatalf("led to %q", page)
	}
	status, location, body := r.connectFrom(b, page)
	u, err := url.Parse(location)
	if err != nil || status != http.StatusSeeOther || !strings.HasPrefix(location, staticRedirect) || u.Query().Get("state") != "st/ate" {
		t.Fatalf("led back to %d %q %s", status, location, body)
	}
	a := r.redeem(u.Query().Get("code"))
	got := r.exchange(shimID, a.Access)
	if person, good := up.Knows(got.Access); got.Status != 200 || !good || person != "alice at notes" || got.Issued != typeAccess || got.Life > 300 {
		t.Errorf("the shim gets %+v, of %q", got, person)
	}
	if again := r.consent(b, "alice"); !strings.HasPrefix(again, staticRedirect) {
		t.Errorf("who is connected is led to %q", again)
	}
	bob := r.browser()
	_, asks, body := r.visit(bob, "GET", r.consent(bob, "bob"), nil)
	if _, location, _ := r.visit(bob, "GET", linkIn(t, body, skipLink), nil); asks != "" || !strings.HasPrefix(location, staticRedirect) {
		t.Errorf("who goes on without an account is led to %q", location)
	}
	if up.Counted("/register") != 1 {
		t.Errorf("registered %d times", up.Counted("/register"))
	}
}
