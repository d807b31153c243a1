package main

import "testing"

// A client that was given a server's own host signs in for that, and the gateway takes the token there and at the other URL.
func TestAliasResource(t *testing.T) {
	r := newRig(t, twoServers)
	r.edit("publicURL: "+gatewayURL, "publicURL: "+gatewayURL+"\ndomain: localhost:9")
	const alias = "http://notes.localhost:9/mcp"
	q := r.request(staticID, staticRedirect)
	q.Set("resource", alias)
	got := r.redeem(r.code(q, "alice").Get("code"), "resource", alias)
	if got.Status != 200 {
		t.Fatalf("%+v", got)
	}
	if who, err := r.verify(got.Access, alias); err != nil || who.Subject != "alice" {
		t.Errorf("%+v, %v", who, err)
	}
	alice := r.visitor("alice")
	key := alice.make("notes")
	form := r.keyForm(key, "notes")
	form.Set("resource", alias)
	if got := r.post("/token", form); got.Status != 200 {
		t.Errorf("a key: %+v", got)
	}
	form.Set("resource", "http://other.localhost:9/mcp")
	if got := r.post("/token", form); got.Error != "invalid_target" {
		t.Errorf("a key for another server: %+v", got)
	}
	for _, resource := range []string{"http://localhost:9/mcp", "http://notes.localhost:9", "http://notes.localhost:9/mcp/", "http://a.notes.localhost:9/mcp", "http://notes.localhost/mcp", "https://notes.localhost:9/mcp"} {
		form.Set("resource", resource)
		if got := r.post("/token", form); got.Error != "invalid_target" {
			t.Errorf("%s: %+v", resource, got)
		}
	}
}
