package policy

import (
	"fmt"
	"strings"
	"testing"

	"mcpgateway/internal/identity"
)

var testIssuers = []identity.Issuer{
	{Name: "corp", URL: "https://corp.test", Default: true},
	{Name: "partner", URL: "https://partner.test"},
}

func someone(issuer, subject string, groups ...string) identity.Identity {
	return identity.Identity{Issuer: "https://" + issuer + ".test", Subject: subject, Groups: groups}
}

func anyone() *Subjects                  { return &Subjects{Anyone: true} }
func users(names ...string) *Subjects    { return &Subjects{Users: names} }
func groupsOf(names ...string) *Subjects { return &Subjects{Groups: names} }
func call(server, tool string) Request {
	return Request{Server: server, Method: "tools/call", Name: tool}
}
func mustCompile(t testing.TB, policies ...Policy) *Set {
	t.Helper()
	s, err := Compile(policies, testIssuers, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The method table, exhaustively: what each kind of policy makes of every method there is.
func TestMethodTable(t *testing.T) {
	policies := map[string]Policy{
		"all":       {Allow: anyone()},
		"tools":     {Allow: anyone(), Tools: []string{"x"}},
		"prompts":   {Allow: anyone(), Prompts: []string{"x"}},
		"resources": {Allow: anyone(), Resources: []string{"x"}},
		"methods":   {Allow: anyone(), Methods: []string{"*"}},
	}
	const everyone = "all tools prompts resources methods"
	tests := []struct {
		methods string
		kind    Kind
		allowed string // by which of the policies, for the name x
	}{
		{"initialize server/discover ping logging/setLevel", KindNone, everyone},
		{"notifications/initialized notifications/cancelled notifications/progress notifications/roots/list_changed", KindNone, everyone},
		{"tools/list prompts/list resources/list resources/templates/list", KindNone, everyone},
		{"tools/call", KindNone, "all tools"},
		{"tools/call", KindPrompt, "all tools"}, // the method says the kind, whatever the request claims
		{"prompts/get", KindNone, "all prompts"},
		{"resources/read resources/subscribe resources/unsubscribe", KindNone, "all resources"},
		{"completion/complete", KindPrompt, "all prompts"},
		{"completion/complete", KindResource, "all resources"},
		{"completion/complete", KindTool, ""},
		{"completion/complete", KindNone, ""},
		{"subscriptions/listen", KindNone, everyone},
		{"tasks/get tasks/list tasks/result tasks/cancel tasks/update notifications/tasks/status", KindNone, everyone},
		{"sampling/createMessage roots/list elicitation/create notifications/message x/y Tools/call tools/Call", KindNone, "methods"},
		{"notifications/tasks notifications/resources/updated tasks/steal", KindNone, "methods"},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		for _, method := range strings.Fields(tt.methods) {
			seen[method] = true
			for name, p := range policies {
				p.Name, p.Servers = name, []string{"s"}
				want := Decision{}
				if strings.Contains(" "+tt.allowed+" ", " "+name+" ") {
					want = Decision{Allow: true, Policy: name}
				}
				got := mustCompile(t, p).Decide(someone("corp", "u"), Request{Server: "s", Method: method, Kind: tt.kind, Name: "x"})
				if got != want {
					t.Errorf("%s (kind %d) under %s: got %+v, want %+v", method, tt.kind, name, got, want)
				}
			}
		}
	}
	for m := range methods {
		if !seen[m] {
			t.Errorf("%s stands in the method table and is not tested", m)
		}
	}
}

func TestDecide(t *testing.T) {
	engineer := someone("corp", "ann", "engineering", "staff")
	readers := Policy{Name: "readers", Allow: groupsOf("engineering"), Servers: []string{"github"}, Tools: []string{"get_*", "list_*"}}
	open := Policy{Name: "open", Allow: anyone(), Servers: []string{"*"}}
	tests := []struct {
		name     string
		policies []Policy
		who      identity.Identity
		req      Request
		want     Decision
	}{
		{"nothing matches", nil, engineer, call("github", "get_x"), Decision{}},
		{"allowed tool", []Policy{readers}, engineer, call("github", "get_issue"), Decision{Allow: true, Policy: "readers"}},
		{"other tool", []Policy{readers}, engineer, call("github", "merge"), Decision{}},
		{"other server", []Policy{readers}, engineer, call("gitlab", "get_issue"), Decision{}},
		{"other group", []Policy{readers}, someone("corp", "bob", "sales"), call("github", "get_issue"), Decision{}},
		{"same group elsewhere", []Policy{readers}, someone("partner", "eve", "engineering"), call("github", "get_issue"), Decision{}},
		{"tools only", []Policy{readers}, engineer, Request{Server: "github", Method: "prompts/get", Name: "get_x"}, Decision{}},
		{"deny wins", []Policy{open, {Name: "no", Deny: anyone(), Servers: []string{"github"}, Tools: []string{"merge"}}},
			engineer, call("github", "merge"), Decision{Policy: "no"}},
		{"deny wins over later allow", []Policy{{Name: "no", Deny: users("ann"), Servers: []string{"git*"}, Tools: []string{"*"}}, open},
			engineer, call("github", "merge"), Decision{Policy: "no"}},
		{"deny of a tool leaves others", []Policy{open, {Name: "no", Deny: anyone(), Servers: []string{"github"}, Tools: []string{"merge"}}},
			engineer, call("github", "get"), Decision{Allow: true, Policy: "open"}},
		{"deny of a tool leaves a prompt of that name", []Policy{open, {Name: "no", Deny: anyone(), Servers: []string{"github"}, Tools: []string{"merge"}}},
			engineer, Request{Server: "github", Method: "prompts/get", Name: "merge"}, Decision{Allow: true, Policy: "open"}},
		{"deny for others", []Policy{open, {Name: "no", Deny: groupsOf("sales"), Servers: []string{"github"}}},
			engineer, call("github", "get"), Decision{Allow: true, Policy: "open"}},
		{"deny shuts the server", []Policy{open, {Name: "no", Deny: groupsOf("staff"), Servers: []string{"github"}}},
			engineer, Request{Server: "github", Method: "initialize"}, Decision{Policy: "no"}},
		{"deny shuts other methods", []Policy{{Name: "m", Allow: anyone(), Servers: []string{"*"}, Methods: []string{"*"}}, {Name: "no", Deny: anyone(), Servers: []string{"*"}}},
			engineer, Request{Server: "github", Method: "x/y"}, Decision{Policy: "no"}},
		{"deny of a method in the table", []Policy{open, {Name: "no", Deny: anyone(), Servers: []string{"*"}, Methods: []string{"tools/*"}}},
			engineer, call("github", "get"), Decision{Policy: "no"}},
		{"deny of methods leaves others", []Policy{open, {Name: "no", Deny: anyone(), Servers: []string{"*"}, Methods: []string{"tools/*"}}},
			engineer, Request{Server: "github", Method: "resources/read", Name: "u"}, Decision{Allow: true, Policy: "open"}},
		{"deny of all methods leaves responses", []Policy{open, {Name: "no", Deny: anyone(), Servers: []string{"*"}, Methods: []string{"*"}}},
			engineer, Request{Server: "github", Response: true}, Decision{Allow: true, Policy: "open"}},
		{"methods do not open tools", []Policy{{Name: "m", Allow: anyone(), Servers: []string{"*"}, Methods: []string{"*"}}},
			engineer, call("github", "get"), Decision{}},
		{"unlisted does not open methods", []Policy{open}, engineer, Request{Server: "github", Method: "tasks/steal"}, Decision{}},
		{"empty method is no response", []Policy{open, {Name: "m", Allow: anyone(), Servers: []string{"*"}, Methods: []string{"*"}}},
			engineer, Request{Server: "github"}, Decision{}},
		{"response needs admission", []Policy{readers}, someone("corp", "bob"), Request{Server: "github", Response: true}, Decision{}},
		{"first allow is named", []Policy{{Name: "a", Allow: groupsOf("staff"), Servers: []string{"git*"}}, {Name: "b", Allow: users("ann"), Servers: []string{"github"}}},
			engineer, call("github", "get"), Decision{Allow: true, Policy: "a"}},
		{"first deny is named", []Policy{{Name: "a", Deny: users("ann"), Servers: []string{"github"}}, {Name: "b", Deny: users("ann"), Servers: []string{"*"}}, open},
			engineer, call("github", "get"), Decision{Policy: "a"}},
		{"literal and pattern in one policy", []Policy{{Name: "a", Allow: anyone(), Servers: []string{"github", "dev-*"}}},
			engineer, call("dev-1", "get"), Decision{Allow: true, Policy: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustCompile(t, tt.policies...).Decide(tt.who, tt.req); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Identity is (issuer, name): no choice of sub or group at one issuer makes someone of another.
func TestSubjects(t *testing.T) {
	tests := []struct {
		policy *Subjects
		who    identity.Identity
		want   bool
	}{
		{users("ann"), someone("corp", "ann"), true},
		{users("corp:ann"), someone("corp", "ann"), true},
		{users("ann"), someone("partner", "ann"), false},
		{users("ann"), someone("corp", "corp:ann"), false},
		{users("ann"), someone("corp", "Ann"), false},
		{users("ann"), someone("corp", "bob", "ann"), false}, // a group, not a user
		{groupsOf("ann"), someone("corp", "ann"), false},     // a user, not a group
		{groupsOf("partner:x"), someone("partner", "eve", "x"), true},
		{groupsOf("partner:x"), someone("corp", "ann", "partner:x"), false},
		{groupsOf("partner:x"), someone("corp", "ann", "x"), false},
		{groupsOf("partner:x"), someone("partner", "eve", "partner:x"), false},
		{groupsOf("corp:partner:x"), someone("corp", "ann", "partner:x"), true},
		{users("corp:did:example:1"), someone("corp", "did:example:1"), true},
		{anyone(), someone("partner", "eve"), true},
		{&Subjects{}, someone("corp", "ann", "x"), false},
		{&Subjects{Users: []string{"bob"}, Groups: []string{"x"}}, someone("corp", "ann", "y", "x"), true},
		{users("ann"), someone("corp", ""), false},
	}
	for _, tt := range tests {
		s := mustCompile(t, Policy{Name: "p", Allow: tt.policy, Servers: []string{"s"}})
		if got := s.Admits(tt.who, "s"); got != tt.want {
			t.Errorf("allow %+v for %s %s %q: got %v", *tt.policy, tt.who.Issuer, tt.who.Subject, tt.who.Groups, got)
		}
	}
}

func TestAdmits(t *testing.T) {
	tools := Policy{Name: "a", Allow: users("ann"), Servers: []string{"s", "dev-*"}, Tools: []string{"x"}}
	tests := []struct {
		name   string
		deny   *Policy
		server string
		want   bool
	}{
		{"an allow of one tool", nil, "s", true},
		{"by a pattern", nil, "dev-7", true},
		{"another server", nil, "t", false},
		{"a pattern is no server", nil, "dev", false},
		{"deny of that tool", &Policy{Deny: anyone(), Servers: []string{"*"}, Tools: []string{"*"}}, "s", true},
		{"deny of every method", &Policy{Deny: anyone(), Servers: []string{"*"}, Methods: []string{"*"}}, "s", true},
		{"deny of all", &Policy{Deny: anyone(), Servers: []string{"*"}}, "s", false},
		{"deny of all elsewhere", &Policy{Deny: anyone(), Servers: []string{"dev-*"}}, "s", true},
		{"deny of all for others", &Policy{Deny: users("bob"), Servers: []string{"s"}}, "s", true},
	}
	for _, tt := range tests {
		policies := []Policy{tools}
		if tt.deny != nil {
			policies = append(policies, *tt.deny)
		}
		if got := mustCompile(t, policies...).Admits(someone("corp", "ann"), tt.server); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	if new(Set).Admits(someone("corp", "ann"), "s") {
		t.Error("the zero Set admits")
	}
}

func TestVisible(t *testing.T) {
	s := mustCompile(t,
		Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}, Tools: []string{"get_*"}, Resources: []string{"file:///{path}", "db://*"}},
		Policy{Name: "b", Deny: anyone(), Servers: []string{"s"}, Tools: []string{"*_secret"}},
		Policy{Name: "c", Deny: users("bob"), Servers: []string{"s"}, Methods: []string{"tools/call"}},
	)
	tests := []struct {
		who  string
		kind Kind
		name string
		want bool
	}{
		{"ann", KindTool, "get_x", true},
		{"ann", KindTool, "get_secret", false},
		{"ann", KindTool, "put_x", false},
		{"bob", KindTool, "get_x", false},
		{"ann", KindPrompt, "get_x", false},
		{"ann", KindResource, "file:///{path}", true}, // a template's own text
		{"ann", KindResource, "file:///etc", false},
		{"bob", KindResource, "db://a/b", true},
		{"ann", KindNone, "get_x", false},
		{"ann", kinds, "get_x", false},
	}
	for _, tt := range tests {
		if got := s.View(someone("corp", tt.who), "s", "").Visible(tt.kind, tt.name); got != tt.want {
			t.Errorf("%s, kind %d, %s: got %v", tt.who, tt.kind, tt.name, got)
		}
	}
}

func TestListen(t *testing.T) {
	s := mustCompile(t,
		Policy{Name: "a", Allow: anyone(), Servers: []string{"s"}, Resources: []string{"file:*"}},
		Policy{Name: "b", Deny: anyone(), Servers: []string{"s"}, Resources: []string{"*.key"}},
	)
	tests := []struct {
		uris []string
		want Decision
	}{
		{nil, Decision{Allow: true, Policy: "a"}},
		{[]string{"file:a", "file:b"}, Decision{Allow: true, Policy: "a"}},
		{[]string{"file:a", "http:b"}, Decision{}},
		{[]string{"file:a.key", "file:b"}, Decision{Policy: "b"}},
		{[]string{""}, Decision{}},
	}
	for _, tt := range tests {
		got := s.Decide(someone("corp", "ann"), Request{Server: "s", Method: "subscriptions/listen", More: tt.uris})
		if got != tt.want {
			t.Errorf("%.3q: got %+v, want %+v", tt.uris, got, tt.want)
		}
	}
	full := Request{Server: "s", Method: "subscriptions/listen", More: strings.Fields(strings.Repeat("file:a ", MaxURIs))}
	if !s.Decide(someone("corp", "ann"), full).Allow {
		t.Error("MaxURIs resources are refused")
	}
	full.More = append(full.More, "file:a")
	if s.Decide(someone("corp", "ann"), full).Allow {
		t.Error("more than MaxURIs resources are allowed")
	}
}

func TestInTable(t *testing.T) {
	if !InTable("tools/call") || InTable("tasks/steal") {
		t.Error("InTable is wrong")
	}
}

func TestCompileErrors(t *testing.T) {
	ok := func(change func(*Policy)) Policy {
		p := Policy{Name: "p", Allow: anyone(), Servers: []string{"s"}}
		change(&p)
		return p
	}
	tests := []struct {
		policy Policy
		want   string
	}{
		{ok(func(p *Policy) { p.Allow = nil }), "exactly one of allow and deny"},
		{ok(func(p *Policy) { p.Deny = anyone() }), "exactly one of allow and deny"},
		{ok(func(p *Policy) { p.Servers = nil }), "no servers"},
		{ok(func(p *Policy) { p.Servers = []string{""} }), "servers: an empty pattern"},
		{ok(func(p *Policy) { p.Tools = []string{"a\x00"} }), "tools: the pattern"},
		{ok(func(p *Policy) { p.Resources = []string{"\xff"} }), "resources: the pattern"},
		{ok(func(p *Policy) { p.Prompts = []string{strings.Repeat("a", 3000)} }), "prompts: the pattern is longer"},
		{ok(func(p *Policy) { p.When = "true" }), "conditions cannot be decided here"},
		{ok(func(p *Policy) { p.Allow = users("nobody:x") }), `no issuer is called "nobody"`},
		{ok(func(p *Policy) { p.Allow = users("") }), "is no user or group"},
		{ok(func(p *Policy) { p.Allow = users(":x") }), "is no user or group"},
		{ok(func(p *Policy) { p.Allow = groupsOf("corp:") }), "is no user or group"},
	}
	for _, tt := range tests {
		_, err := Compile([]Policy{tt.policy}, testIssuers, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `policy "p": `) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	twins := []identity.Issuer{{Name: "a", URL: "https://1.test", Default: true}, {Name: "a", URL: "https://2.test", Default: true}}
	for _, name := range []string{"x", "a:x"} {
		if err := CheckSubject(name, twins); err == nil || !strings.Contains(err.Error(), "several issuers") {
			t.Errorf("%s, which fits two issuers: %v", name, err)
		}
	}
	if err := CheckSubject("x", nil); err == nil {
		t.Error("resolved without a default issuer")
	}
}

// A list of 300 rules takes the path that does not fit the stack.
func TestManyRules(t *testing.T) {
	var policies []Policy
	for i := range 300 {
		policies = append(policies, Policy{Name: fmt.Sprint("p", i), Allow: users(fmt.Sprint("u", i)), Servers: []string{"s"}})
	}
	s := mustCompile(t, policies...)
	for i := range 300 {
		want := Decision{Allow: true, Policy: fmt.Sprint("p", i)}
		if got := s.Decide(someone("corp", fmt.Sprint("u", i)), call("s", "x")); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
