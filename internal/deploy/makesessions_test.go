package deploy

import (
	"slices"
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
)

// wantsToken tells whether a unit of a plan is to be known at the session store.
func wantsToken(p Plan) bool {
	return slices.ContainsFunc(p.Units, func(u Unit) bool {
		return slices.ContainsFunc(u.Secrets, func(s Secret) bool { return s.Token == tokenSessions })
	})
}

// The shim of an entry whose sessions survive is told of the store, and given a token that nobody chooses; no other unit and no
// other entry's shim is, and without a store the plan is what it was.
func TestSessionStore(t *testing.T) {
	s, o := entry("command-http", "shared", "none"), options("shared")
	s.Runtime.Command = &catalog.Command{Exec: "/opt/server", HTTP: &catalog.HTTP{}}
	s.Sessions = sessionsSurvive
	without, err := MakePlan(s, nil, o)
	if err != nil || wantsToken(without) {
		t.Fatal(err, "without a store it wants a token")
	}
	o.Sessions = &catalog.SessionStore{URL: "https://mcp.example.com/sessions"}
	p, err := MakePlan(s, nil, o)
	if err != nil || p.Hash == without.Hash || !wantsToken(p) {
		t.Fatal(err, "the same plan with and without a store")
	}
	if !slices.Contains(p.Units[0].Env, EnvVar{"SHIM_SESSIONS_URL", "https://mcp.example.com/sessions"}) {
		t.Errorf("the shim is told %v", p.Units[0].Env)
	}
	token := Secret{Store: "mcp-github-shim", Key: keySessions, File: "SHIM_SESSIONS_SECRET_FILE", Token: tokenSessions}
	if !slices.Contains(p.Units[0].Secrets, token) {
		t.Errorf("the shim's secrets are %v", p.Units[0].Secrets)
	}
	for _, u := range p.Units[1:] {
		if slices.ContainsFunc(u.Env, func(v EnvVar) bool { return strings.HasPrefix(v.Name, "SHIM_SESSIONS") }) || slices.Contains(u.Secrets, token) {
			t.Errorf("%s is told of the store", u.Name)
		}
	}
	for _, sessions := range []string{"strict", "none"} {
		s.Sessions = sessions
		if p, err := MakePlan(s, nil, o); err != nil || wantsToken(p) {
			t.Errorf("%s: %v", sessions, err)
		}
	}
	s.Sessions = sessionsSurvive
	o.Audit = &catalog.AuditSink{URL: "https://siem.test/in", Secret: &catalog.SecretKey{Key: keySessions}, Second: "none", SpoolMiB: 16}
	if _, err := MakePlan(s, nil, o); err == nil {
		t.Error("the token for the session store is sent to the audit sink")
	}
	o.Audit, o.Sessions.URL = nil, "http://{port:server}/"
	if _, err := MakePlan(s, nil, o); err == nil {
		t.Error("a URL holds a placeholder")
	}
}
