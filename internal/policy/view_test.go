package policy

import (
	"encoding/json"
	"slices"
	"testing"
)

// What an admission shows of a list is what a set with everything at hand shows, where it answers at all.
func TestAdmissionView(t *testing.T) {
	readers := Policy{Name: "readers", Allow: groupsOf("readers"), Servers: []string{"github"}, Tools: []string{"get_*"}, Resources: []string{"file:///a/*"}}
	deny := Policy{Name: "deny", Deny: anyone(), Servers: []string{"*"}, Tools: []string{"get_secret"}}
	scoped := Policy{Name: "scoped", Allow: groupsOf("readers"), Servers: []string{"git*"}, Tools: []string{"merge"}, Scopes: []string{"write"}}
	noLists := Policy{Name: "no lists", Deny: users("mallory"), Servers: []string{"github"}, Methods: []string{"tools/list"}}
	condition := Policy{Name: "condition", Deny: users("carol"), Servers: []string{"*"}, Tools: []string{"get_b"}, When: "true"}
	a, err := CompileAdmission([]Policy{readers, deny, scoped, noLists, condition}, testIssuers)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		subject, method string
		groups          []string
		want            []string // nil: not answered
	}{
		"reader":               {"alice", "tools/list", []string{"readers"}, []string{"get_a", "get_b", "merge"}},
		"nobody":               {"bob", "tools/list", nil, nil},
		"denied the method":    {"mallory", "tools/list", []string{"readers"}, nil},
		"not another method":   {"mallory", "prompts/list", []string{"readers"}, []string{"get_a", "get_b", "merge"}},
		"with a condition":     {"carol", "tools/list", []string{"readers"}, nil},
		"a method of no table": {"alice", "x/y", []string{"readers"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			view, ok := a.View(someone("corp", c.subject, c.groups...), "github", "legacy", c.method)
			if ok != (c.want != nil) {
				t.Fatal(ok)
			}
			var got []string
			for _, tool := range []string{"get_a", "get_b", "get_secret", "merge", "delete"} {
				if ok && view.Visible(KindIn("tools"), tool) {
					got = append(got, tool)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	view, _ := a.View(someone("corp", "alice", "readers"), "github", "legacy", "resources/list")
	if !view.Visible(KindIn("resources"), "file:///a/b") || view.Visible(KindIn("resourceTemplates"), "file:///b/c") || view.Visible(KindIn("tasks"), "get_a") {
		t.Error("resources")
	}
}

// A fingerprint stays what it is on the way to a shim, and changes with everything that decides.
func TestFingerprint(t *testing.T) {
	base := []Policy{{Name: "a", Allow: groupsOf("x"), Servers: []string{"github"}, When: "true"}, {Name: "b", Deny: anyone(), Servers: []string{"*"}, Tools: []string{"x"}}}
	print := func(p []Policy) string {
		t.Helper()
		f, err := Fingerprint(p)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	want := print(base)
	sent := slices.Clone(base)
	sent[0].Program = []byte("compiled")
	text, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var arrived []Policy
	if err := json.Unmarshal(text, &arrived); err != nil {
		t.Fatal(err)
	}
	if got := print(arrived); got != want {
		t.Error("another after it was sent")
	}
	for name, change := range map[string]func(p []Policy) []Policy{
		"order":   func(p []Policy) []Policy { return []Policy{p[1], p[0]} },
		"fewer":   func(p []Policy) []Policy { return p[:1] },
		"a tool":  func(p []Policy) []Policy { p[1].Tools = []string{"y"}; return p },
		"a group": func(p []Policy) []Policy { p[0].Allow = groupsOf("y"); return p },
		"a when":  func(p []Policy) []Policy { p[0].When = "false"; return p },
	} {
		if print(change(slices.Clone(base))) == want {
			t.Errorf("%s: the same", name)
		}
	}
	if got := Concerning(append(base, Policy{Name: "c", Allow: anyone(), Servers: []string{"other"}}), "github"); len(got) != 2 {
		t.Errorf("%d concern it", len(got))
	}
}
