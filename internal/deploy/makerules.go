package deploy

import (
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
)

// MakeRules says what the shim of entry s must know and may learn without a restart. Issuers come with the snapshot of
// their keys. Version is for the caller to choose: it must grow when anything else changed.
func MakeRules(s catalog.Server, c *catalog.Catalog, p *catalog.Platform, issuers []identity.Issuer, version int64) rules.Rules {
	r := rules.Rules{Version: version, Server: s.ID, Resources: p.Resources(s.ID), Issuers: issuers, Credentials: makeCredentials(s),
		CallTimeout: time.Duration(p.Limits.CallTimeout), Audit: makeAudit(s.Audit)}
	r.Policies = policy.Concerning(c.Policies, s.ID)
	for _, name := range s.Filters {
		// The catalog's loader passes no name without a filter; a shim refuses what it cannot run.
		f, _ := find(c.Filters, name)
		r.Filters = append(r.Filters, makeFilter(s, name, f, p))
	}
	return r
}

func makeFilter(s catalog.Server, name string, f catalog.Filter, p *catalog.Platform) rules.Filter {
	made := rules.Filter{Name: name, On: f.On, Mutate: f.Mutate, Timeout: time.Duration(f.Timeout), OnError: f.OnError}
	if m := f.MCP; m != nil {
		made.Server = &rules.FilterServer{URL: m.URL, Tool: m.Tool}
		if allowed, err := m.EgressRules(); err == nil { // where it is not, no text at all: the shim takes it for a mistake
			made.Server.Egress = egress.Format(allowed)
		}
	}
	if f.Server != "" {
		made.Server = makeFilterServer(s, f, p)
	}
	return made
}

// makeFilterServer says how the shim of entry s calls a filter that is a server of the catalog. The loader passes none where
// the platform does not know the shim; a shim refuses one without a caller's id.
func makeFilterServer(s catalog.Server, f catalog.Filter, p *catalog.Platform) *rules.FilterServer {
	made := &rules.FilterServer{URL: p.Resource(f.Server), Tool: f.Tool, Entry: f.Server, Caller: &rules.FilterUser{}}
	if allowed, err := f.EgressRules(); err == nil {
		made.Egress = egress.Format(allowed)
	}
	if c := p.OAuth.ShimClient(s.ID); c != nil {
		made.Caller = &rules.FilterUser{Issuer: p.OAuth.URL, Client: rules.Client{ID: c.ID, Auth: rules.AuthBasic}}
		if c.Signs() {
			made.Caller.Client.Auth = rules.AuthPrivateKey
		}
	}
	return made
}
