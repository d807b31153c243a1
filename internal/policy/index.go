package policy

import (
	"math/bits"

	"mcpgateway/internal/identity"
)

// index finds the rules that are for an identity by looking up its subject and each of its groups once, however many
// rules there are and however many people each names. Rules stand in it by number, sets of rules as bits.
type index struct {
	entries       []entry
	anyone        ruleSet
	users, groups map[principal]ruleSet
}

// entry is a rule with the globs that say which servers it is for; none where the index is one server's own.
type entry struct {
	*rule
	servers []glob
}

func (ix *index) add(e entry) {
	n := len(ix.entries)
	ix.entries = append(ix.entries, e)
	if ix.users == nil {
		ix.users, ix.groups = map[principal]ruleSet{}, map[principal]ruleSet{}
	}
	if e.anyone {
		ix.anyone = ix.anyone.with(n)
	}
	for _, p := range e.users {
		ix.users[p] = ix.users[p].with(n)
	}
	for _, p := range e.groups {
		ix.groups[p] = ix.groups[p].with(n)
	}
}

// find adds to rules those that are for who on server, in the order in which they were added.
func (ix *index) find(rules []*rule, who *identity.Identity, server string) []*rule {
	if len(ix.entries) == 0 {
		return rules
	}
	var few [4]uint64 // on the stack: 256 rules need no allocation
	found := ruleSet(few[:])
	if need := (len(ix.entries) + 63) / 64; need > len(few) {
		found = make(ruleSet, need)
	}
	found.union(ix.anyone)
	found.union(ix.users[principal{who.Issuer, who.Subject}])
	for _, g := range who.Groups {
		found.union(ix.groups[principal{who.Issuer, g}])
	}
	for i, word := range found {
		for ; word != 0; word &= word - 1 {
			e := &ix.entries[i*64+bits.TrailingZeros64(word)]
			if e.servers == nil || matchAny(e.servers, server) {
				rules = append(rules, e.rule)
			}
		}
	}
	return rules
}

// ruleSet is a set of places in index.entries, a bit each.
type ruleSet []uint64

func (s ruleSet) with(n int) ruleSet {
	for len(s) <= n/64 {
		s = append(s, 0)
	}
	s[n/64] |= 1 << (n % 64)
	return s
}

// union adds the members of t, which is no longer than s.
func (s ruleSet) union(t ruleSet) {
	for i, word := range t {
		s[i] |= word
	}
}
