package policy

import "mcpgateway/internal/identity"

// View is what one person may see of one server: it answers for the items of lists. It finds the person's rules once, and
// asks a condition that is the same for all items once, so it is made anew for each list. It is for one goroutine.
type View struct {
	// Fault is what kept conditions from being decided, for the log.
	Fault error

	rules []*rule
	q     question
}

// View looks at a server as who, in an era ("legacy" or "modern").
func (s *Set) View(who identity.Identity, server, era string) *View {
	v := &View{q: question{set: s, who: &who, server: server, era: era, shown: true}}
	for _, r := range s.rules(nil, v.q.who, server) {
		v.rules = append(v.rules, v.once(r))
	}
	return v
}

// View looks at a server as who, for somebody who answers a method in the server's place. It is false where the method is not
// allowed, or where a policy that is for who has a condition: whoever decides those is to be asked.
func (a *Admission) View(who identity.Identity, server, era, method string) (*View, bool) {
	v := a.set.View(who, server, era)
	for _, r := range v.rules {
		if r.expression {
			return nil, false
		}
	}
	return v, a.set.Decide(who, Request{Server: server, Method: method, Era: era}).Allow
}

// once makes a rule whose condition is asked at most once, where it does not depend on the item.
func (v *View) once(r *rule) *rule {
	if r.when == nil {
		return r
	}
	copied := *r
	copied.when = &remembered{Condition: r.when}
	return &copied
}

// Visible reports whether an item is shown: whether it may be used, with some arguments and scopes. For a resource
// template, name is the text of its uriTemplate.
func (v *View) Visible(kind Kind, name string) bool {
	use, ok := uses[kind]
	if !ok {
		return false
	}
	if v.q.method != use { // tools and prompts are never in one list, but in one stream
		v.q.method, v.q.facts = use, nil
		for _, r := range v.rules {
			if c, ok := r.when.(*remembered); ok {
				*c = remembered{Condition: c.Condition}
			}
		}
	}
	v.q.of(kind, name)
	d := v.q.decide(v.rules)
	if d.Fault != nil && v.Fault == nil { // the first is enough: a list has a thousand items
		v.Fault = d.Fault
	}
	return d.Allow
}

// KindIn is what the items of a list result are, by the name of its array.
func KindIn(array string) Kind { return arrays[array] }

var arrays = map[string]Kind{"tools": KindTool, "prompts": KindPrompt, "resources": KindResource, "resourceTemplates": KindResource}

// uses is the method by which a primitive is used.
var uses = map[Kind]string{KindTool: "tools/call", KindPrompt: "prompts/get", KindResource: "resources/read"}

// remembered is a condition that is asked again only where its answer varies.
type remembered struct {
	Condition
	asked bool
	truth Truth
	err   error
}

// Holds implements Condition.
func (c *remembered) Holds(f *Facts) (Truth, error) {
	if c.asked && !c.Varies() {
		return c.truth, c.err
	}
	c.asked = true
	c.truth, c.err = c.Condition.Holds(f)
	return c.truth, c.err
}
