package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"mcpgateway/functions/oauth/grant"
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

// connected has a person sign in, and connect their account on the way.
func (r *rig) connected(b *http.Client, user string) answered {
	r.t.Helper()
	_, location, body := r.connectFrom(b, r.consent(b, user))
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, staticRedirect) {
		r.t.Fatalf("led to %q %s", location, body)
	}
	return r.redeem(u.Query().Get("code"))
}

// leaving goes up to where the server's sign-in sends the browser back.
func (r *rig) leaving(b *http.Client, page string) (back string) {
	r.t.Helper()
	_, _, body := r.visit(b, "GET", page, nil)
	_, to, _ := r.visit(b, "GET", linkIn(r.t, body, goLink), nil)
	status, back, body := r.visit(b, "GET", to, nil)
	if status != http.StatusFound {
		r.t.Fatalf("the server's sign-in: %d %s", status, body)
	}
	return back
}

// What comes back must be of this browser, this person, this server and its own sign-in, and comes once.
func TestConnectRefuses(t *testing.T) {
	r, up := newAccountRig(t)
	r.edit("    - {id: robot, secret: robot}\n", "    - {id: robot, secret: robot}\n    - {id: other-shim, secret: robot, exchange: {server: other, account: {resource: '"+up.Resource+
		"', egress: [{cidr: 127.0.0.1/32, ports: ["+up.URL[strings.LastIndex(up.URL, ":")+1:]+"]}]}}}\n")
	change := func(back, name, value string) string {
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for name, tt := range map[string]struct {
		back   func(back string) string
		again  bool // in another browser
		status int
	}{
		"another browser":     {func(back string) string { return back }, true, 400},
		"another state":       {func(back string) string { return change(back, "state", r.random()) }, false, 400},
		"no state":            {func(back string) string { return change(back, "state", "") }, false, 400},
		"another server":      {func(back string) string { return strings.Replace(back, "/connect/notes/", "/connect/other/", 1) }, false, 400},
		"a server of nobody":  {func(back string) string { return strings.Replace(back, "/connect/notes/", "/connect/nobody/", 1) }, false, 400},
		"two codes":           {func(back string) string { return back + "&code=x" }, false, 400},
		"another issuer":      {func(back string) string { return change(back, "iss", "https://evil.example") }, false, 200},
		"no issuer":           {func(back string) string { return change(back, "iss", "") }, false, 200},
		"another code":        {func(back string) string { return change(back, "code", "x") }, false, 200},
		"an error":            {func(back string) string { return change(change(back, "code", ""), "error", "<b>no</b>") }, false, 200},
		"an error and a code": {func(back string) string { return change(back, "error", "no") }, false, 200},
	} {
		b := r.browser()
		back := r.leaving(b, r.consent(b, "alice"))
		if tt.again {
			b = r.browser()
		}
		status, location, body := r.visit(b, "GET", tt.back(back), nil)
		if status != tt.status || location != "" || strings.Contains(body, "<b>") || tt.status == 200 && !strings.Contains(body, "It was not connected") {
			t.Errorf("%s: %d %q %s", name, status, location, body)
		}
		if has, err := r.server.accounts.Has(t.Context(), r.person("alice"), "notes"); has || err != nil {
			t.Fatalf("%s: it is connected: %v", name, err)
		}
	}
	b := r.browser()
	back := r.leaving(b, r.consent(b, "alice"))
	if _, location, body := r.visit(b, "GET", back, nil); !strings.HasPrefix(location, staticRedirect) {
		t.Fatalf("%q %s", location, body)
	}
	if status, _, _ := r.visit(b, "GET", back, nil); status != 400 {
		t.Errorf("a second time: %d", status)
	}
}

// Who takes too long begins anew, also when they signed in again meanwhile.
func TestConnectTakesTooLong(t *testing.T) {
	r, _ := newAccountRig(t)
	b := r.browser()
	back := r.leaving(b, r.consent(b, "alice"))
	r.pass(flowLife)
	r.consent(b, "alice")
	if status, location, _ := r.visit(b, "GET", back, nil); status != 400 || location != "" {
		t.Errorf("%d %q", status, location)
	}
	if has, err := r.server.accounts.Has(t.Context(), r.person("alice"), "notes"); has || err != nil {
		t.Errorf("it is connected: %v", err)
	}
}

// Two people at one browser get no account of each other's.
func TestConnectIsOnePersons(t *testing.T) {
	r, _ := newAccountRig(t)
	b := r.browser()
	back := r.leaving(b, r.consent(b, "alice"))
	r.consent(b, "bob")
	if status, location, _ := r.visit(b, "GET", back, nil); status != 400 || location != "" {
		t.Errorf("%d %q", status, location)
	}
	for _, name := range []string{"alice", "bob"} {
		if has, err := r.server.accounts.Has(t.Context(), r.person(name), "notes"); has || err != nil {
			t.Errorf("%s is connected: %v", name, err)
		}
	}
}

func (r *rig) person(name string) grant.Person {
	return grant.Person{Issuer: r.provider.URL, Subject: name}
}

// After an attempt that failed the person is asked again, and then goes on to the client.
func TestConnectAgain(t *testing.T) {
	r, up := newAccountRig(t)
	b := r.browser()
	page := r.consent(b, "alice")
	up.Lock()
	up.Deny = true
	up.Unlock()
	_, _, body := r.connectFrom(b, page)
	up.Lock()
	up.Deny = false
	up.Unlock()
	_, to, _ := r.visit(b, "GET", linkIn(t, body, goLink), nil)
	_, back, _ := r.visit(b, "GET", to, nil)
	if _, location, body := r.visit(b, "GET", back, nil); !strings.HasPrefix(location, staticRedirect) {
		t.Errorf("%q %s", location, body)
	}
}

// Only the page of ours that a person sees leads on: no other page sends their browser to the server's sign-in.
func TestConnectNeedsTicket(t *testing.T) {
	r, up := newAccountRig(t)
	b := r.browser()
	_, _, body := r.visit(b, "GET", r.consent(b, "alice"), nil)
	good := linkIn(t, body, goLink)
	for name, address := range map[string]string{
		"none":                 r.url + "/connect/notes/go",
		"another":              r.url + "/connect/notes/go?ticket=" + r.random(),
		"for another question": strings.Replace(good, "question=", "question=x", 1),
		"for another server":   strings.Replace(good, "/connect/notes/", "/connect/other/", 1),
	} {
		if status, location, _ := r.visit(b, "GET", address, nil); status < 400 || location != "" {
			t.Errorf("%s: %d %q", name, status, location)
		}
	}
	stranger := r.browser()
	if _, location, _ := r.visit(stranger, "GET", good, nil); !strings.HasPrefix(location, r.provider.URL) {
		t.Errorf("another browser is led to %q", location)
	}
	bob := r.browser()
	r.consent(bob, "bob")
	if status, location, _ := r.visit(bob, "GET", good, nil); status != 400 || location != "" {
		t.Errorf("somebody else's: %d %q", status, location)
	}
	if status, location, _ := r.visit(b, "GET", good, nil); status != http.StatusSeeOther || !strings.HasPrefix(location, up.URL) {
		t.Errorf("the page's own: %d %q", status, location)
	}
}

// Who may not use a server is not told whether it has a sign-in of its own, and is not led there.
func TestConnectIsForAdmitted(t *testing.T) {
	r, _ := newAccountRig(t)
	r.write("catalog.yaml", "apiVersion: v1\nservers:\n"+twoServers+"policies: [{name: a, allow: {groups: [nobody]}, servers: ['*']}]\n")
	r.restart()
	b := r.browser()
	if location := r.consent(b, "alice"); !strings.HasPrefix(location, staticRedirect) {
		t.Errorf("led to %q", location)
	}
	r.visitAccounts(b, "alice", "/accounts")
	one, _, notes := r.visit(b, "GET", r.url+"/connect/notes", nil)
	two, _, nobody := r.visit(b, "GET", r.url+"/connect/nobody", nil)
	ids := regexp.MustCompile(`under [A-Z0-9]+ in the log`)
	if one != 404 || two != 404 || ids.ReplaceAllString(notes, "") != ids.ReplaceAllString(nobody, "") {
		t.Errorf("%d %s, %d %s", one, notes, two, nobody)
	}
}

// A server whose sign-in cannot be found keeps nobody from signing in here.
func TestConnectWhileDown(t *testing.T) {
	r, up := newAccountRig(t)
	up.Before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	b := r.browser()
	status, _, body := r.visit(b, "GET", r.consent(b, "alice"), nil)
	if status != 200 || goLink.MatchString(body) || !strings.Contains(body, "cannot be found now") {
		t.Errorf("%d %s", status, body)
	}
	if _, location, _ := r.visit(b, "GET", linkIn(t, body, skipLink), nil); !strings.HasPrefix(location, staticRedirect) {
		t.Errorf("led to %q", location)
	}
}
