package policy

import "mcpgateway/internal/identity"

// question is one thing to decide: a request may ask several.
type question struct {
	set    *Set
	who    *identity.Identity
	server string

	class  class
	method string // empty where it is not about a method: admission, and a client's responses
	kind   Kind
	name   string
	uri    resource // of KindResource

	admission bool // whether anything could be allowed: conditions of a deny do not count
	shown     bool // whether an item of a list is shown: with some arguments and scopes it might be used

	era       string
	arguments []byte
	facts     *Facts // made when the first condition is asked

	denyRoom, allowRoom [12]*rule // for verdicts, one after the other
}

// of points the question at what is to be used.
func (q *question) of(kind Kind, name string) {
	q.class, q.kind, q.name = classNamed, kind, name
	if kind == KindResource {
		q.uri = newResource(name)
	}
	if q.facts != nil {
		q.facts.Kind, q.facts.Name = kind, name
	}
}

// holds asks the condition of a rule.
func (q *question) holds(r *rule, fault *error) bool {
	if r.when == nil {
		return true
	}
	if q.facts == nil {
		pass := q.class == classPass
		q.facts = &Facts{Who: q.who, Server: q.server, Era: q.era, Method: q.method, Kind: q.kind, Name: q.name,
			Arguments: q.arguments, NoName: pass, NoArguments: pass || q.shown || q.method == complete}
	}
	return r.holds(q.facts, fault)
}

// decide asks the rules for who on server.
func (q *question) decide(rules []*rule) Decision {
	v := verdict{mayDeny: q.denyRoom[:0], mayAllow: q.allowRoom[:0]}
	for _, r := range rules {
		v.add(r, q)
	}
	return v.settle(q)
}
