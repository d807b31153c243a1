package policy

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mcpgateway/internal/identity"
)

// The functions here say again what the package promises, slowly and without its data structures: policy by policy,
// with subjects compared as written.

func refDecide(policies []Policy, who identity.Identity, req Request) Decision {
	if req.Method == "" && !req.Response || len(req.More) > MaxURIs {
		return Decision{}
	}
	last := refOne(policies, who, req, KindNone, "")
	switch req.Method {
	case "tools/call":
		return refOne(policies, who, req, KindTool, req.Name)
	case "prompts/get":
		return refOne(policies, who, req, KindPrompt, req.Name)
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		return refOne(policies, who, req, KindResource, req.Name)
	case "completion/complete":
		if req.Kind == KindPrompt || req.Kind == KindResource {
			return refOne(policies, who, req, req.Kind, req.Name)
		}
		return Decision{}
	case "subscriptions/listen":
		for _, uri := range req.More {
			if !last.Allow {
				return last
			}
			last = refOne(policies, who, req, KindResource, uri)
		}
	}
	return last
}

func refOne(policies []Policy, who identity.Identity, req Request, kind Kind, name string) Decision {
	for _, p := range policies {
		if p.Deny != nil && refFor(p, p.Deny, who, req.Server) && refDenies(p, req, kind, name) {
			return Decision{Policy: p.Name}
		}
	}
	for _, p := range policies {
		if p.Allow != nil && refFor(p, p.Allow, who, req.Server) && refAllows(p, req, kind, name) {
			return Decision{Allow: true, Policy: p.Name}
		}
	}
	return Decision{}
}

func refDenies(p Policy, req Request, kind Kind, name string) bool {
	return refListsNothing(p) || !req.Response && refMatch(p.Methods, req.Method) || refMatch(refNames(p, kind), name)
}

func refAllows(p Policy, req Request, kind Kind, name string) bool {
	pass := "initialize server/discover ping logging/setLevel notifications/initialized notifications/cancelled " +
		"notifications/progress notifications/roots/list_changed tools/list prompts/list resources/list " +
		"resources/templates/list subscriptions/listen tasks/get tasks/result tasks/update tasks/cancel tasks/list " +
		"notifications/tasks/status"
	switch {
	case kind != KindNone:
		return refListsNothing(p) || refMatch(refNames(p, kind), name)
	case req.Response, slices.Contains(strings.Fields(pass), req.Method):
		return true
	}
	return refMatch(p.Methods, req.Method)
}

func refListsNothing(p Policy) bool {
	return len(p.Tools) == 0 && len(p.Prompts) == 0 && len(p.Resources) == 0 && len(p.Methods) == 0
}

func refNames(p Policy, kind Kind) []string {
	return [][]string{nil, p.Tools, p.Prompts, p.Resources}[kind]
}

func refMatch(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return naiveMatch(p, s) })
}

func refFor(p Policy, s *Subjects, who identity.Identity, server string) bool {
	if !refMatch(p.Servers, server) {
		return false
	}
	named := func(list []string, name string) bool {
		switch who.Issuer {
		case "https://corp.test":
			return slices.Contains(list, "corp:"+name) || !strings.Contains(name, ":") && slices.Contains(list, name)
		case "https://partner.test":
			return slices.Contains(list, "partner:"+name)
		}
		return false
	}
	return s.Anyone || named(s.Users, who.Subject) ||
		slices.ContainsFunc(who.Groups, func(g string) bool { return named(s.Groups, g) })
}

// dice throws small worlds, so that things meet.
type dice struct{ *rand.Rand }

func (d dice) some(from ...string) []string {
	out := make([]string, d.IntN(3))
	for i := range out {
		out[i] = from[d.IntN(len(from))]
	}
	return out
}

func (d dice) one(from ...string) string { return from[d.IntN(len(from))] }

func (d dice) policy(name string) Policy {
	names := []string{"a", "b", "ab", "a*", "*b", "*"}
	p := Policy{Name: name, Servers: append(d.some("s", "t", "*", "s*"), d.one("s", "t", "*"))}
	if d.IntN(2) == 0 {
		p.Tools = d.some(names...)
		p.Prompts = d.some(names...)
		p.Resources = d.some(names...)
		p.Methods = d.some("*", "tools/*", "tasks/*", "task*", "x", "tools/call", "ping")
	}
	who := &Subjects{
		Users:  d.some("u", "v", "corp:u", "partner:u", "corp:partner:u"),
		Groups: d.some("g", "h", "partner:g", "corp:partner:g"),
		Anyone: d.IntN(4) == 0,
	}
	if d.IntN(3) == 0 {
		p.Deny = who
	} else {
		p.Allow = who
	}
	return p
}

func (d dice) identity() identity.Identity {
	return identity.Identity{
		Issuer:  d.one("https://corp.test", "https://partner.test", "https://else.test"),
		Subject: d.one("u", "v", "partner:u", "corp:u"),
		Groups:  d.some("g", "h", "partner:g", "corp:g"),
	}
}

func (d dice) request() Request {
	all := []string{"", "x", "tasks/get", "Ping"}
	for m := range methods {
		all = append(all, m)
	}
	slices.Sort(all) // the same seed, the same world
	r := Request{Server: d.one("s", "t", "st", "z"), Method: d.one(all...), Kind: Kind(d.IntN(int(kinds)))}
	r.Name, r.More = d.one("", "a", "b", "ab", "ba"), d.some("a", "b", "ab")
	if d.IntN(10) == 0 {
		r = Request{Server: r.Server, Response: true}
	}
	return r
}

func checkWorld(t *testing.T, seed uint64) {
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	var policies []Policy
	for i := range d.IntN(6) {
		policies = append(policies, d.policy(string(rune('A'+i))))
	}
	s := mustCompile(t, policies...)
	for range 20 {
		who, req := d.identity(), d.request()
		want := refDecide(policies, who, req)
		if got := s.Decide(who, req); got != want {
			t.Errorf("seed %d: %+v asks %+v under %+v: got %+v, want %+v", seed, who, req, policies, got, want)
		}
		if got := s.Admits(who, req.Server); got != refDecide(policies, who, Request{Server: req.Server, Response: true}).Allow {
			t.Errorf("seed %d: %+v at %s under %+v: Admits %v", seed, who, req.Server, policies, got)
		} else if want.Allow && !got {
			t.Errorf("seed %d: %+v may send %+v under %+v and is not admitted", seed, who, req, policies)
		}
		use := Request{Server: req.Server, Method: uses[req.Kind], Name: req.Name}
		if got := s.View(who, req.Server, "").Visible(req.Kind, req.Name); got != s.Decide(who, use).Allow {
			t.Errorf("seed %d: %+v on %+v under %+v: Visible %v, the call is not", seed, who, use, policies, got)
		}
	}
}

func TestAgainstReference(t *testing.T) {
	for seed := range uint64(5000) {
		checkWorld(t, seed)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkWorld)
}
