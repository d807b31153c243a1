package main

import (
	"strings"
	"testing"

	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/operate"
	"mcpgateway/internal/socket"
)

func TestRevokePerson(t *testing.T) {
	r := newRig(t, twoServers)
	l, err := socket.Listen(operate.Socket(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- operate.Serve(l, r.server.grants.RevokePerson) }()
	first, second, bob := r.tokens("alice"), r.tokens("alice"), r.tokens("bob")
	alice := r.visitor("alice")
	key := alice.make("notes")
	revoke := func(subject string) (grant.Ended, error) {
		return operate.Revoke(t.Context(), r.dir, grant.Person{Issuer: r.provider.URL, Subject: subject})
	}
	if n, err := revoke("alice"); err != nil || n != (grant.Ended{Grants: 2, Keys: 1}) {
		t.Errorf("%+v, %v", n, err)
	}
	for _, a := range []answered{first, second} {
		if got := r.refresh(a.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%+v", got)
		}
	}
	if got := r.useKey(key, "notes"); got.Error != "invalid_request" {
		t.Errorf("a key: %+v", got)
	}
	if _, to, _ := r.visit(alice.browser, "GET", r.url+keysPath, nil); !strings.HasPrefix(to, r.provider.URL) {
		t.Error("the browser could make another key")
	}
	if got := r.refresh(bob.Refresh); got.Status != 200 {
		t.Errorf("bob: %+v", got)
	}
	if n, err := revoke("nobody"); err != nil || n != (grant.Ended{}) {
		t.Errorf("nobody: %+v, %v", n, err)
	}
	if _, err := revoke(""); err == nil || !strings.Contains(err.Error(), "are needed") {
		t.Errorf("nobody in particular is revoked: %v", err)
	}
	l.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := revoke("alice"); err == nil {
		t.Error("nothing runs, and nobody says so")
	}
}
