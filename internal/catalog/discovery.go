package catalog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"

	"mcpgateway/internal/selector"
)

// Cached are the methods that are answered for a server with discovery: cached while it sleeps.
var Cached = []string{"initialize", "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"}

// CachesDiscovery tells whether what the server says of itself is kept for the time in which it sleeps.
func (s *Server) CachesDiscovery() bool { return s.Discovery == "cached" }

// Revision names what the server is: of two entries whose servers may say something else of themselves, it is another.
func (s *Server) Revision() string {
	text, _ := json.Marshal([]any{s.ID, s.Runtime, s.Stdio, s.Env, s.Headers, s.Sessions}) // plain data cannot fail
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// checkDiscovery refuses to keep what a server says where it may say something else to each caller, or where somebody is to
// see each answer.
func checkDiscovery(d *document, s *Server, all *names) {
	if !s.CachesDiscovery() {
		return
	}
	bad := func(format string, args ...any) { d.bad(&s.Discovery, "discovery: cached "+format, args...) }
	if s.Instances.PerUser {
		bad("is for an instance that all share: each user's own may say something else")
	}
	if s.Token != nil || slices.ContainsFunc(s.Headers, func(h Header) bool { return h.Claim != "" }) {
		bad("is not for a server that is sent something of its caller, token or claim: it may say something else to each")
	}
	if s.Sessions == "strict" {
		bad("needs sessions: survive or none: a session that begins while the server sleeps is begun again with it")
	}
	if s.Audit.Required || s.Audit.Bodies == "full" {
		bad("is not for audit.required and audit.bodies: full: what is answered for a server that sleeps is recorded by the gateway, in short")
	}
	for i, name := range s.Filters {
		if method := all.sees(name); method != "" {
			d.bad(&s.Filters[i], "filters: %.60q is to see %s, which discovery: cached answers without it", name, method)
		}
	}
	if p := all.platform; len(p.Issuers) > 0 && (p.Audit == nil || p.Audit.Store == nil) { // without any, the platform could not be read
		bad("needs audit.store in the platform file: what the server said is kept there")
	}
}

// sees is a method that is answered for a server that sleeps, and that a filter is to see.
func (ns *names) sees(filter string) string {
	for _, text := range ns.on[filter] {
		s, err := selector.Parse(text)
		if err != nil {
			continue // another check says so
		}
		for _, method := range Cached {
			m := selector.Message{Method: method, Names: []string{""}}
			if s.Selects(selector.Request, m) || s.Selects(selector.Response, m) {
				return method
			}
		}
	}
	return ""
}
