package policy

import (
	"errors"
	"strings"
	"testing"
)

// said is a condition that says what its when says: "yes", "no", "depends", "fails", or "tool=NAME", which varies and does
// not know what is not named yet. It counts how often it is asked.
type said struct {
	when  string
	asked *int
}

var errUndecided = errors.New("undecided")

func (c said) Holds(f *Facts) (Truth, error) {
	*c.asked++
	switch c.when {
	case "yes":
		return Yes, nil
	case "no":
		return No, nil
	case "fails":
		return Yes, errUndecided
	case "args":
		if f.NoArguments {
			return Depends, nil
		}
		return map[bool]Truth{true: Yes}[len(f.Arguments) > 0], nil
	}
	if f.NoName {
		return Depends, nil
	}
	return map[bool]Truth{true: Yes}[f.Kind == KindTool && "tool="+f.Name == c.when], nil
}

func (c said) Varies() bool { return strings.HasPrefix(c.when, "tool=") }

func compileSaid(t testing.TB, asked *int, policies ...Policy) *Set {
	t.Helper()
	s, err := Compile(policies, testIssuers, func(p *Policy) (Condition, error) { return said{p.When, asked}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConditions(t *testing.T) {
	allow := func(name, when string) Policy {
		return Policy{Name: name, Allow: anyone(), Servers: []string{"s"}, When: when}
	}
	deny := func(name, when string) Policy {
		return Policy{Name: name, Deny: anyone(), Servers: []string{"s"}, When: when}
	}
	open := allow("open", "")
	tests := []struct {
		name     string
		policies []Policy
		want     Decision // of a call
		faults   string
		connects bool // initialize
		shown    bool // in a list
	}{
		{"allow, yes", []Policy{allow("a", "yes")}, Decision{Allow: true, Policy: "a"}, "", true, true},
		{"allow, no", []Policy{allow("a", "no")}, Decision{}, "", true, false},
		{"allow, fails", []Policy{allow("a", "fails")}, Decision{}, "policy a: when: undecided", true, false},
		{"allow by an argument", []Policy{allow("a", "args")}, Decision{}, "", true, true},
		{"allow by its name", []Policy{allow("a", "tool=x")}, Decision{Allow: true, Policy: "a"}, "", true, true},
		{"allow by another name", []Policy{allow("a", "tool=y")}, Decision{}, "", true, false},
		{"deny, yes", []Policy{open, deny("d", "yes")}, Decision{Policy: "d"}, "", false, false},
		{"deny, no", []Policy{open, deny("d", "no")}, Decision{Allow: true, Policy: "open"}, "", true, true},
		{"deny, fails", []Policy{open, deny("d", "fails")}, Decision{Policy: "d"}, "policy d: when: undecided", false, false},
		{"deny by an argument", []Policy{open, deny("d", "args")}, Decision{Allow: true, Policy: "open"}, "", true, true},
		{"deny by its name", []Policy{open, deny("d", "tool=x")}, Decision{Policy: "d"}, "", true, false},
		{"the second allow", []Policy{allow("a", "fails"), allow("b", "no"), allow("c", "yes")}, Decision{Allow: true, Policy: "c"}, "policy a: when: undecided", true, true},
		{"deny wins", []Policy{allow("a", "yes"), deny("d", "no"), deny("e", "yes")}, Decision{Policy: "e"}, "", false, false},
		{"an allow without a condition first", []Policy{allow("a", "fails"), open}, Decision{Allow: true, Policy: "open"}, "", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			s := compileSaid(t, &asked, tt.policies...)
			ann := someone("corp", "ann")
			got := s.Decide(ann, call("s", "x"))
			fault := ""
			if got.Fault != nil {
				fault, got.Fault = got.Fault.Error(), nil
			}
			if got != tt.want || fault != tt.faults {
				t.Errorf("a call: %+v, %q", got, fault)
			}
			if got := s.Decide(ann, Request{Server: "s", Method: "initialize"}).Allow; got != tt.connects {
				t.Errorf("initialize: %v", got)
			}
			if got := s.View(ann, "s", "").Visible(KindTool, "x"); got != tt.shown {
				t.Errorf("in a list: %v", got)
			}
			if asked = 0; !s.Admits(ann, "s") || asked != 0 {
				t.Errorf("not admitted, or by asking %d conditions", asked)
			}
			a, err := CompileAdmission(tt.policies, testIssuers)
			if err != nil || !a.Admits(ann, "s") {
				t.Errorf("the gateway does not admit: %v", err)
			}
		})
	}
}

// What a condition is told of a message.
func TestFacts(t *testing.T) {
	var got []Facts
	s, err := Compile([]Policy{{Name: "a", Allow: anyone(), Servers: []string{"s"}, Methods: []string{"x/y"}, Tools: []string{"*"}, Prompts: []string{"*"}, Resources: []string{"*"}, When: "x"},
		{Name: "d", Deny: anyone(), Servers: []string{"s"}, When: "x"}}, testIssuers, func(p *Policy) (Condition, error) {
		return watch(func(f *Facts) { got = append(got, *f) }), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	args := []byte(`{"a":1}`)
	for _, c := range []struct {
		req  Request
		want Facts
		n    int // conditions that are asked: a deny that does not hold, and the allow
	}{
		{Request{Method: "tools/call", Name: "n", Arguments: args, Era: "modern"}, Facts{Kind: KindTool, Name: "n", Arguments: args, Era: "modern"}, 2},
		{Request{Method: "prompts/get", Name: "n", Arguments: args}, Facts{Kind: KindPrompt, Name: "n", Arguments: args}, 2},
		{Request{Method: "resources/read", Name: "u"}, Facts{Kind: KindResource, Name: "u"}, 2},
		{Request{Method: "completion/complete", Kind: KindPrompt, Name: "n"}, Facts{Kind: KindPrompt, Name: "n", NoArguments: true}, 2},
		{Request{Method: "x/y", Arguments: args}, Facts{Arguments: args}, 2},
		{Request{Method: "tools/list"}, Facts{NoName: true, NoArguments: true}, 1},
		{Request{Response: true}, Facts{NoName: true, NoArguments: true}, 1},
		{Request{Method: "subscriptions/listen", More: []string{"u"}}, Facts{Kind: KindResource, Name: "u"}, 3},
	} {
		got = nil
		c.req.Server = "s"
		s.Decide(someone("corp", "ann"), c.req)
		c.want.Server, c.want.Method = "s", c.req.Method
		if len(got) != c.n {
			t.Errorf("%+v: %d conditions are asked", c.req, len(got))
			continue
		}
		f := got[len(got)-1]
		if f.Who.Subject != "ann" {
			t.Errorf("%+v: asked about %+v", c.req, f.Who)
		}
		if f.Who, f.Memo = nil, nil; string(f.Arguments) != string(c.want.Arguments) {
			t.Errorf("%+v: arguments %s", c.req, f.Arguments)
		}
		if f.Arguments, c.want.Arguments = nil, nil; f.Server+f.Era+f.Method+f.Name != c.want.Server+c.want.Era+c.want.Method+c.want.Name ||
			f.Kind != c.want.Kind || f.NoName != c.want.NoName || f.NoArguments != c.want.NoArguments {
			t.Errorf("%+v: told %+v, want %+v", c.req, f, c.want)
		}
	}
}

// watch is a condition that holds for an allow, and not for a deny, since it says that it depends.
type watch func(*Facts)

func (w watch) Holds(f *Facts) (Truth, error) { w(f); return Depends, nil }
func (w watch) Varies() bool                  { return true }

// A condition that is the same for all items is asked once for a list; and again for the next list.
func TestViewAsksOnce(t *testing.T) {
	asked := 0
	s := compileSaid(t, &asked, Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}, When: "fails"},
		Policy{Name: "b", Allow: anyone(), Servers: []string{"s"}, When: "yes"})
	for list := range 2 {
		v := s.View(someone("corp", "ann"), "s", "")
		for range 100 {
			if !v.Visible(KindTool, "x") {
				t.Fatal("hidden")
			}
		}
		if want := 2 * (list + 1); asked != want || v.Fault == nil {
			t.Errorf("asked %d times, want %d; fault %v", asked, want, v.Fault)
		}
		if v.Visible(KindPrompt, "x"); asked != 2*(list+1)+2 {
			t.Errorf("prompts are taken for tools")
		}
		asked -= 2
	}
	asked = 0
	v := compileSaid(t, &asked, Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}, When: "tool=x"}).View(someone("corp", "ann"), "s", "")
	if v.Visible(KindTool, "y") || !v.Visible(KindTool, "x") || asked != 2 {
		t.Errorf("asked %d times, or wrong", asked)
	}
}

func TestScopes(t *testing.T) {
	policies := []Policy{
		{Name: "scoped", Allow: anyone(), Servers: []string{"s"}, Tools: []string{"write"}, Scopes: []string{"repo", "write"}},
		{Name: "more", Allow: anyone(), Servers: []string{"s"}, Tools: []string{"write"}, Scopes: []string{"admin"}, When: "no"},
		{Name: "read", Allow: anyone(), Servers: []string{"s"}, Tools: []string{"read"}, Scopes: []string{"read"}},
		{Name: "staff", Allow: groupsOf("staff"), Servers: []string{"s"}},
		{Name: "never", Deny: users("eve"), Servers: []string{"s"}, Tools: []string{"write"}},
	}
	asked := 0
	s := compileSaid(t, &asked, policies...)
	for _, c := range []struct {
		name, subject, tool string
		groups, scopes      []string
		want                Decision
	}{
		{"has them", "ann", "write", nil, []string{"write", "x", "repo"}, Decision{Allow: true, Policy: "scoped"}},
		{"has none", "ann", "write", nil, nil, Decision{Policy: "scoped", Scope: "repo write"}},
		{"has one, and another that counts", "ann", "write", nil, []string{"openid", "read", "repo"}, Decision{Policy: "scoped", Scope: "repo write read"}},
		{"part of a scope is none", "ann", "read", nil, []string{"rea", "read2", "READ"}, Decision{Policy: "read", Scope: "read"}},
		{"something else allows", "ann", "write", []string{"staff"}, nil, Decision{Allow: true, Policy: "staff"}},
		{"nothing would allow", "ann", "other", nil, nil, Decision{}},
		{"denied anyway", "eve", "write", nil, nil, Decision{Policy: "never"}},
	} {
		who := someone("corp", c.subject, c.groups...)
		who.Scopes = c.scopes
		if got := s.Decide(who, call("s", c.tool)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
	ann := someone("corp", "ann")
	if !s.Admits(ann, "s") || !s.View(ann, "s", "").Visible(KindTool, "write") || s.View(ann, "s", "").Visible(KindTool, "other") {
		t.Error("who could ask for the scopes does not see what for")
	}
	// A condition that does not hold asks for no scopes.
	only := compileSaid(t, &asked, policies[1])
	if got := only.Decide(ann, call("s", "write")); got != (Decision{}) {
		t.Errorf("got %+v", got)
	}
	for _, p := range []Policy{{Name: "p", Deny: anyone(), Servers: []string{"s"}, Scopes: []string{"a"}}, {Name: "p", Allow: anyone(), Servers: []string{"s"}, Scopes: []string{`a"`}}} {
		if _, err := Compile([]Policy{p}, testIssuers, nil); err == nil {
			t.Errorf("%+v compiles", p)
		}
	}
}

// Policies that name a server twice are asked once.
func TestConditionIsAskedOnce(t *testing.T) {
	asked := 0
	s := compileSaid(t, &asked, Policy{Name: "a", Allow: anyone(), Servers: []string{"s", "s*", "*"}, When: "no"})
	s.Decide(someone("corp", "ann"), call("s", "x"))
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
