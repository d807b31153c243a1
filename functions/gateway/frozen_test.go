package main

import (
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

// What may be read next after the process was frozen, perhaps with the machine's monotonic clock, goes by the wall's.
func TestClocksOfAFrozenProcess(t *testing.T) {
	r := newRig(t, answerJSON)
	key := deploy.Key{Server: "github"}.ID()
	r.gateway.servers.sleeps(key)
	u := uses{of: map[deploy.KeyID]*use{}}
	u.call(key)
	for name, at := range map[string]time.Time{"asleep": r.gateway.servers.asleep[key], "used": u.of[key].last} {
		if at != at.Round(0) {
			t.Errorf("%s: %v has a monotonic reading", name, at)
		}
	}
}
