package deploy

import (
	"slices"
	"strings"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
)

// MakeRules says what the shim of entry s must know and may learn without a restart. Issuers come with the snapshot of
// their keys. Version is for the caller to choose: it must grow when anything else changed.
func MakeRules(s catalog.Server, c *catalog.Catalog, p *catalog.Platform, issuers []identity.Issuer, version int64) rules.Rules {
	r := rules.Rules{Version: version, Server: s.ID, Resources: p.Resources(s.ID), Issuers: issuers, Audit: makeAudit(s.Audit)}
	for _, policy := range c.Policies {
		if concerns(policy, s.ID) {
			r.Policies = append(r.Policies, policy)
		}
	}
	return r
}

// concerns errs on the side of yes, for every pattern with a star: a deny that is left out would allow, one too many
// does nothing.
func concerns(p policy.Policy, server string) bool {
	return slices.ContainsFunc(p.Servers, func(pattern string) bool {
		return pattern == server || strings.Contains(pattern, "*")
	})
}
