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
	revoke := func(subject string) (int, error) {
		return operate.Revoke(t.Context(), r.dir, grant.Person{Issuer: r.provider.URL, Subject: subject})
	}
	if n, err := revoke("alice"); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	for _, a := range []answered{first, second} {
		if got := r.refresh(a.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%+v", got)
		}
	}
	if got := r.refresh(bob.Refresh); got.Status != 200 {
		t.Errorf("bob: %+v", got)
	}
	if n, err := revoke("nobody"); err != nil || n != 0 {
		t.Errorf("nobody: %d, %v", n, err)
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
