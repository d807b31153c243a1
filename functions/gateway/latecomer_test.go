package main

import (
	"context"
	"testing"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
)

// Who asks just before a server was woken, and waits just after, wakes nothing: the server runs, and nobody is charged.
func TestLatecomerWakesNothing(t *testing.T) {
	r := newRig(t, answerJSON)
	c := &call{server: "github", era: mcp.Modern, snapshot: r.gateway.current.Load(), r: r.request(t, "POST", "github", echo)}
	c.who.Issuer, c.who.Subject = "https://issuer.test", "late"
	c.entry, _ = c.catalog.Server("github")
	known := &instance{key: c.key().ID(), id: "woken"}
	r.gateway.servers.known[deploy.Key{Server: "github"}.ID()] = known
	got, err := r.gateway.servers.wake(context.Background(), c, r.gateway.limits)
	if err != nil || got != known || r.deployer.ensured.Load() != 0 {
		t.Errorf("got %v, %v after %d starts", got, err, r.deployer.ensured.Load())
	}
}
