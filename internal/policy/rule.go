package policy

import (
	"errors"
	"fmt"

	"mcpgateway/internal/identity"
)

// rule is a compiled policy.
type rule struct {
	name    string
	order   int // place in the catalog
	deny    bool
	all     bool          // the policy lists no tools, prompts, resources or methods
	names   [kinds][]glob // by kind; none for KindNone and KindResource
	uris    []uriGlob
	methods []glob

	when   Condition // nil where there is none, or nobody here to decide it: see conditional and expression
	scopes []string
	// conditional says that the policy has a when, or needs scopes: it may match.
	conditional bool
	// expression says that it has a when.
	expression bool

	anyone        bool
	users, groups []principal
}

func compileRule(p *Policy, order int, issuers []identity.Issuer) (*rule, error) {
	if (p.Allow == nil) == (p.Deny == nil) {
		return nil, errors.New("exactly one of allow and deny must be set")
	}
	r := &rule{name: p.Name, order: order, deny: p.Deny != nil, scopes: p.Scopes, expression: p.When != "",
		conditional: p.When != "" || len(p.Scopes) > 0}
	if err := p.checkScopes(); err != nil {
		return nil, err
	}
	r.all = len(p.Tools)+len(p.Prompts)+len(p.Resources)+len(p.Methods) == 0
	for _, list := range []struct {
		name string
		from []string
		to   *[]glob
	}{
		{"tools", p.Tools, &r.names[KindTool]},
		{"prompts", p.Prompts, &r.names[KindPrompt]},
		{"methods", p.Methods, &r.methods},
	} {
		var err error
		if *list.to, err = parseGlobs(list.from); err != nil {
			return nil, fmt.Errorf("%s: %w", list.name, err)
		}
	}
	var err error
	if r.uris, err = parseURIGlobs(p.Resources); err != nil {
		return nil, fmt.Errorf("resources: %w", err)
	}
	return r, r.compileSubjects(p, issuers)
}

func (r *rule) compileSubjects(p *Policy, issuers []identity.Issuer) (err error) {
	who := p.Allow
	if r.deny {
		who = p.Deny
	}
	r.anyone = who.Anyone
	if r.users, err = resolveAll(who.Users, issuers); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if r.groups, err = resolveAll(who.Groups, issuers); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	return nil
}

// speaksOf reports whether the rule bears on a question of the people and the server that it is for.
func (r *rule) speaksOf(q *question) bool {
	if r.all && (r.deny || q.class != classOther) {
		return true
	}
	if r.deny && q.method != "" && matchAny(r.methods, q.method) {
		return true
	}
	switch q.class {
	case classPass:
		return !r.deny
	case classNamed:
		if q.kind == KindResource {
			return q.uri.in(r.uris, r.deny)
		}
		return matchAny(r.names[q.kind], q.name)
	default:
		return matchAny(r.methods, q.method)
	}
}

func (p *Policy) checkScopes() error {
	if p.Deny != nil && len(p.Scopes) > 0 {
		return errors.New("scopes are for an allow: a deny does not depend on what a token lacks")
	}
	for _, s := range p.Scopes {
		if err := CheckScope(s); err != nil {
			return fmt.Errorf("scopes: %.60q %w", s, err)
		}
	}
	return nil
}
