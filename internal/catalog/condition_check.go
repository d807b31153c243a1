package catalog

import "mcpgateway/internal/policy"

// ConditionCheck says what is wrong with the when of a policy. It is handed in, since not every reader of a catalog may
// link what reads expressions. With none, every when is refused.
type ConditionCheck func(when string) error

// LeaveConditions accepts every when. It is for who does not decide by them: the gateway, which only admits. A when that is
// wrong is refused by the deployer, and changes nothing in any shim.
func LeaveConditions(string) error { return nil }

func checkWhen(d *document, p *policy.Policy, all *names) {
	d.text(&p.When, "policies.when", 4096)
	switch {
	case p.When == "" && !d.has(&p.When):
	case p.When == "":
		d.bad(&p.When, "policies.when is empty: leave it out where there is no condition")
	case all.condition == nil:
		d.bad(&p.When, "policies.when cannot be checked here")
	default:
		if err := all.condition(p.When); err != nil {
			d.bad(&p.When, "policies.when: %v", err)
		}
	}
}

func checkScopes(d *document, p *policy.Policy) {
	notEmpty(d, &p.Scopes, "policies.scopes")
	if p.Deny != nil && len(p.Scopes) > 0 {
		d.bad(&p.Scopes, "policies.scopes are for an allow: a deny does not depend on what a token lacks")
	}
	for i, s := range p.Scopes {
		if err := policy.CheckScope(s); err != nil {
			d.bad(&p.Scopes[i], "policies.scopes: %.60q %v", s, err)
		}
	}
}
