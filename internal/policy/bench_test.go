package policy

import (
	"fmt"
	"testing"

	"mcpgateway/internal/identity"
)

// fifty is a set as large as one server's policies get, and someone in many groups whom most of it speaks of.
func fifty(b *testing.B) (*Set, identity.Identity) {
	var policies []Policy
	who := someone("corp", "ann")
	for i := range 50 {
		group := fmt.Sprint("team-", i)
		who.Groups = append(who.Groups, group)
		p := Policy{Name: fmt.Sprint("p", i), Allow: groupsOf(group, "all-hands"), Servers: []string{"github"},
			Tools: []string{fmt.Sprint("get_", i, "_*"), "*_read_*"}}
		if i%5 == 0 {
			p.Servers = []string{"git*"}
		}
		if i%7 == 0 {
			p.Allow, p.Deny = nil, p.Allow
		}
		policies = append(policies, p)
	}
	return mustCompile(b, policies...), who
}

func BenchmarkDecide(b *testing.B) {
	s, who := fifty(b)
	if d := s.Decide(who, call("github", "get_48_issue")); !d.Allow {
		b.Fatal("not allowed")
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Decide(who, call("github", "get_48_issue"))
	}
}

func BenchmarkAdmits(b *testing.B) {
	s, who := fifty(b)
	b.ReportAllocs()
	for b.Loop() {
		s.Admits(who, "github")
	}
}
