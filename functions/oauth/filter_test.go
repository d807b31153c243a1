package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
)

// filterRig has two servers with shims of their own, of which one has the other look at its messages.
func filterRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, twoServers)
	r.write("catalog.yaml", "apiVersion: v1\nservers:\n"+strings.Replace(twoServers, "{id: notes,", "{id: notes, filters: [f],", 1)+
		"filters: [{name: f, server: other, egress: [{cidr: 127.0.0.1/32, ports: [9, "+r.url[strings.LastIndex(r.url, ":")+1:]+"]}], on: ['*']}]\n"+
		"policies: [{name: a, allow: {anyone: true}, servers: ['*']}]\n")
	r.edit("    - {id: robot,", "    - {id: notes-shim, secret: robot, shim: notes, exchange: {server: notes, audiences: ['"+behind+"']}}\n"+
		"    - {id: other-shim, secret: robot, shim: other}\n    - {id: robot,")
	return r
}

// asItself has a client ask for a token for a server; more are further parameters.
func (r *rig) asItself(id, resource string, more ...string) answered {
	r.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return r.post("/token", form, func(q *http.Request) { q.SetBasicAuth(id, agentSecret) })
}

// A shim gets a token for a server that is a filter of its own server's, and for no other.
func TestShimCallsFilter(t *testing.T) {
	r := filterRig(t)
	for _, tt := range []struct{ more, depth string }{{"", "1"}, {"1", "1"}, {"4", "4"}} {
		got := r.asItself("notes-shim", r.resource("other"), rules.FilterDepth, tt.more)
		who, err := r.verify(got.Access, r.resource("other"))
		if err != nil || who.Issuer != r.url || who.Subject != "notes-shim" || who.Client != "notes-shim" || got.Refresh != "" || got.Life != 600 {
			t.Fatalf("%+v %+v %v", got, who, err)
		}
		if depth, err := identity.Claim(got.Access, rules.FilterDepth); depth != tt.depth {
			t.Errorf("asked with %q it says %q, %v", tt.more, depth, err)
		}
	}
	for name, got := range map[string]answered{
		"its own server":                  r.asItself("notes-shim", r.resource("notes")),
		"no server":                       r.asItself("notes-shim", r.resource("none")),
		"the gateway":                     r.asItself("notes-shim", r.gateway),
		"a shim whose server has none":    r.asItself("other-shim", r.resource("notes")),
		"its own, where there is no rule": r.asItself("other-shim", r.resource("other")),
	} {
		if got.Status != 400 || got.Error != "invalid_target" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, depth := range []string{"0", "-1", "5", "x", "1.5"} {
		if got := r.asItself("notes-shim", r.resource("other"), rules.FilterDepth, depth); got.Status != 400 || got.Error != "invalid_request" {
			t.Errorf("depth %s: %+v", depth, got)
		}
	}
	got := r.exchange("notes-shim", r.asItself(agentID, r.resource("notes")).Access)
	if got.Status != 200 {
		t.Errorf("what else the shim may do: %+v", got)
	}
}

// Nobody else can have a token say that filters are asked: a filter might let pass what it could then not check.
func TestFilterDepthIsOfShims(t *testing.T) {
	r := filterRig(t)
	got := r.asItself(agentID, r.resource("other"), rules.FilterDepth, "4")
	if depth, err := identity.Claim(got.Access, rules.FilterDepth); got.Status != 200 || err == nil {
		t.Errorf("an agent: %+v, depth %q", got, depth)
	}
	got = r.redeem(r.code(r.request(staticID, staticRedirect), "alice").Get("code"), rules.FilterDepth, "4")
	if depth, err := identity.Claim(got.Access, rules.FilterDepth); got.Status != 200 || err == nil {
		t.Errorf("a person: %+v, depth %q", got, depth)
	}
}

// What the catalog no longer says ends without a restart.
func TestFilterIsTakenOut(t *testing.T) {
	r := filterRig(t)
	if got := r.asItself("notes-shim", r.resource("other")); got.Status != 200 {
		t.Fatalf("%+v", got)
	}
	v := *r.server.documents.Load()
	c := *v.Catalog
	c.Filters = nil
	v.Catalog = &c
	if err := r.server.accept(&v); err != nil {
		t.Fatal(err)
	}
	if got := r.asItself("notes-shim", r.resource("other")); got.Error != "invalid_target" {
		t.Errorf("%+v", got)
	}
}
