package catalog

import (
	"strings"
	"testing"
)

func TestPolicyChecks(t *testing.T) {
	tests := []struct {
		name, policy string
		want         []string
	}{
		{"good", `{name: p, allow: {groups: ["corp:a:b"]}, servers: [a, "x-*"], resources: ["file:///*"], methods: [x/y, "*"]}`, nil},
		{"bare", `{}`, []string{"5: policies.name is missing", "5: policies: exactly one of allow and deny", "5: policies.servers is missing"}},
		{"both", `{name: p, allow: {anyone: true}, deny: {users: [x]}, servers: [a]}`, []string{"5: policies: exactly one of allow and deny"}},
		{"null deny", `{name: p, allow: {anyone: true}, deny: , servers: [a]}`, []string{"5: policies.deny is empty"}},
		{"name", `{name: "P 1", allow: {anyone: true}, servers: [a]}`, []string{`5: policies.name "P 1" is no DNS label`}},
		{"nobody", `{name: p, allow: {}, servers: [a]}`, []string{"5: policies.allow names nobody"}},
		{"not anyone", `{name: p, deny: {anyone: false, users: []}, servers: [a]}`, []string{"5: policies.deny names nobody"}},
		{"anyone and some", `{name: p, allow: {anyone: true, users: [x]}, servers: [a]}`, []string{"5: policies.allow: anyone includes everybody"}},
		{"issuers", `{name: p, allow: {users: ["nobody:x", "partner:x"], groups: ["a:b", ""]}, servers: [a]}`,
			[]string{`5: policies.allow.users: "nobody:x": no issuer is called "nobody"`, `5: policies.allow.groups: "a:b": no issuer`, `5: policies.allow.groups: "" is no user or group`}},
		{"servers", `{name: p, allow: {anyone: true}, servers: [a, b, "A*", "*.x"]}`,
			[]string{`5: policies.servers: there is no server "b"`, `5: policies.servers: no server can be called "A*"`, `5: policies.servers: no server can be called "*.x"`}},
		{"no servers", `{name: p, allow: {anyone: true}, servers: []}`, []string{"5: policies.servers is an empty list"}},
		{"empty lists", `{name: p, allow: {anyone: true}, servers: [a], tools: [], prompts: [], resources: [], methods: []}`,
			[]string{"5: policies.tools is an empty list", "5: policies.prompts is", "5: policies.resources is", "5: policies.methods is"}},
		{"globs", `{name: p, allow: {anyone: true}, servers: [a], tools: [""], prompts: ["\x01"]}`,
			[]string{"5: policies.tools: an empty pattern", "5: policies.prompts: the pattern"}},
		{"methods of the table", `{name: p, allow: {anyone: true}, servers: [a], methods: [tools/call]}`,
			[]string{"5: policies.methods: tools/call is allowed by tools"}},
		{"tasks", `{name: p, allow: {anyone: true}, servers: [a], methods: [tasks/get]}`, []string{"5: policies.methods: tasks/get is allowed by tools"}},
		{"condition", `{name: p, allow: {anyone: true}, servers: [a], scopes: [repo, "a:b/c"], when: "args.x == 1"}`, nil},
		{"bad condition", `{name: p, allow: {anyone: true}, servers: [a], when: "wrong"}`, []string{"5: policies.when: does not compile"}},
		{"empty condition", `{name: p, allow: {anyone: true}, servers: [a], when: ""}`, []string{"5: policies.when is empty"}},
		{"long condition", `{name: p, allow: {anyone: true}, servers: [a], when: "` + strings.Repeat("x", 4097) + `"}`, []string{"5: policies.when is longer"}},
		{"scopes", `{name: p, allow: {anyone: true}, servers: [a], scopes: ["a b", "", 'x"', "ä"]}`, []string{
			`5: policies.scopes: "a b" is no scope`, `5: policies.scopes: "" is no scope`, `5: policies.scopes: "x\"" is no scope`, `5: policies.scopes: "ä" is no scope`}},
		{"no scopes", `{name: p, allow: {anyone: true}, servers: [a], scopes: []}`, []string{"5: policies.scopes is an empty list"}},
		{"scopes of a deny", `{name: p, deny: {anyone: true}, servers: [a], scopes: [x]}`, []string{"5: policies.scopes are for an allow"}},
		{"denied methods of the table", `{name: p, deny: {anyone: true}, servers: [a], methods: [tools/call]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkLines(t, problemsOf(t, oneServer+"policies: ["+tt.policy+"]\n", catalogUnbuilt), tt.want...)
		})
	}
}

// Who cannot check conditions takes none.
func TestConditionsWithoutACheck(t *testing.T) {
	text := oneServer + "policies: [{name: p, allow: {anyone: true}, servers: [a], when: \"true\"}]\n"
	_, problems := parseCatalog([]*document{newDocument("c", []byte(text))}, testPlatform, nil, catalogUnbuilt)
	checkLines(t, lines(problems), "5: policies.when cannot be checked here")
}
