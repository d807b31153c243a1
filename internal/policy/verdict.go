package policy

import (
	"cmp"
	"slices"
)

// verdict collects what the rules that speak of a question say to it. What needs no condition is settled at once; the
// conditions of the others are asked only where it matters.
type verdict struct {
	deny, allow       *rule // the first of each, in the catalog's order
	mayDeny, mayAllow []*rule
}

func (v *verdict) add(r *rule, q *question) {
	if !r.speaksOf(q) {
		return
	}
	switch {
	case r.conditional && r.deny:
		if !q.admission { // it never shuts a server by itself
			v.mayDeny = append(v.mayDeny, r)
		}
	case r.conditional && q.class != classPass:
		v.mayAllow = append(v.mayAllow, r)
	case r.deny:
		v.deny = first(v.deny, r)
	default: // what passes for anyone admitted also does where an allow only might match
		v.allow = first(v.allow, r)
	}
}

func first(a, b *rule) *rule {
	if a != nil && a.order < b.order {
		return a
	}
	return b
}

// settle asks the conditions, and decides: a deny wins, then an allow without a condition, then one whose condition holds.
func (v *verdict) settle(q *question) (d Decision) {
	if v.deny != nil {
		return Decision{Policy: v.deny.name}
	}
	for _, r := range inOrder(v.mayDeny) {
		if q.holds(r, &d.Fault) {
			d.Policy = r.name
			return d
		}
	}
	if v.allow != nil {
		d.Allow, d.Policy = true, v.allow.name
		return d
	}
	var lacking *rule
	for _, r := range inOrder(v.mayAllow) {
		lacks := !q.shown && r.lacks(q.who)
		if lacks && lacking != nil || !q.holds(r, &d.Fault) {
			continue
		}
		if !lacks {
			d.Allow, d.Policy = true, r.name
			return d
		}
		lacking = r
	}
	if lacking != nil {
		d.Policy, d.Scope = lacking.name, q.set.challenge(lacking, q.who)
	}
	return d
}

// inOrder sorts by place in the catalog. A policy that names a server both by its id and by a pattern is there twice.
func inOrder(rules []*rule) []*rule {
	if len(rules) > 1 {
		slices.SortFunc(rules, func(a, b *rule) int { return cmp.Compare(a.order, b.order) })
		rules = slices.Compact(rules)
	}
	return rules
}
