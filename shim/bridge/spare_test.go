package bridge

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
)

// asked is a rig whose server was found to be legacy, so that there is a child to spare.
func asked(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := newRig(t, "plain", change)
	if got := r.post(call("5", "pid", "", modernMeta), modernHeader); got.status != http.StatusBadRequest || r.bridge.spare == nil {
		t.Fatalf("no spare: %+v", got)
	}
	return r
}

// The spare child is the next session's in all that it does, shared or not.
func TestSpare(t *testing.T) {
	for name, change := range map[string]func(*Config){"own": nil, "shared": func(c *Config) { c.Shared = true }} {
		r := asked(t, change)
		s := r.session()
		if got := r.post(call("1", "changed", "", ""), s, "Accept: application/json"); got.text() != "told" {
			t.Errorf("%s: %+v", name, got)
		}
		session := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "")
		eventually(t, name+": what it says beside is held", func() bool { session.mu.Lock(); defer session.mu.Unlock(); return len(session.held) > 0 })
		if n := strings.Count(r.log.String(), `"server started"`); n != 1 {
			t.Errorf("%s: %d children started for one session", name, n)
		}
	}
}

// A spare child that died meanwhile is nobody's.
func TestDeadSpare(t *testing.T) {
	for name, change := range map[string]func(*Config){"own": nil, "shared": func(c *Config) { c.Shared = true }} {
		r := asked(t, change)
		r.bridge.spare.process.kill()
		<-r.bridge.spare.ended
		if got := r.post(call("1", "pid", "", ""), r.session()); got.text() == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The place for a child that could not be started is free again.
func TestPlaceOfFailedStart(t *testing.T) {
	r := newRig(t, "plain", func(c *Config) { c.Max = 1 })
	start := r.bridge.starts.start
	r.bridge.starts.start = func(use) (*pipe, error) { return nil, errors.New("no memory") }
	if got := r.post(initialize); got.status != http.StatusBadGateway || strings.Contains(got.body, "memory") {
		t.Errorf("no child: %+v", got)
	}
	r.bridge.starts.start = start
	r.session()
}
