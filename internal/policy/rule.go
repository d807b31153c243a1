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
	names   [kinds][]glob // by kind; none for KindNone
	methods []glob

	anyone        bool
	users, groups []principal
}

// question is one thing to decide: a request may ask several.
type question struct {
	class  class
	method string // empty where it is not about a method: admission, and a client's responses
	kind   Kind
	name   string
}

func compileRule(p Policy, order int, issuers []identity.Issuer) (*rule, error) {
	if (p.Allow == nil) == (p.Deny == nil) {
		return nil, errors.New("exactly one of allow and deny must be set")
	}
	if p.When != "" {
		return nil, errors.New("when is not built yet")
	}
	r := &rule{name: p.Name, order: order, deny: p.Deny != nil}
	r.all = len(p.Tools)+len(p.Prompts)+len(p.Resources)+len(p.Methods) == 0
	for _, list := range []struct {
		name string
		from []string
		to   *[]glob
	}{
		{"tools", p.Tools, &r.names[KindTool]},
		{"prompts", p.Prompts, &r.names[KindPrompt]},
		{"resources", p.Resources, &r.names[KindResource]},
		{"methods", p.Methods, &r.methods},
	} {
		var err error
		if *list.to, err = parseGlobs(list.from); err != nil {
			return nil, fmt.Errorf("%s: %w", list.name, err)
		}
	}
	who := p.Allow
	if r.deny {
		who = p.Deny
	}
	var err error
	r.anyone = who.Anyone
	if r.users, err = resolveAll(who.Users, issuers); err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	if r.groups, err = resolveAll(who.Groups, issuers); err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	return r, nil
}

// speaksOf reports whether the rule bears on a question of the people and the server that it is for.
func (r *rule) speaksOf(q question) bool {
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
		return matchAny(r.names[q.kind], q.name)
	default:
		return matchAny(r.methods, q.method)
	}
}
