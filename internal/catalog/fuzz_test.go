package catalog

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcpgateway/internal/policy"
)

// checkProblems holds what any input may make of problems: printable, short, and at a line of the file or at none.
func checkProblems(t *testing.T, data []byte, problems Problems) {
	t.Helper()
	lineCount := strings.Count(string(data), "\n") + 2 // an error at the end may be put behind it
	for _, p := range problems {
		if p.Line < 0 || p.Line > lineCount || p.Text == "" || len(p.Text) > 1000 || strings.Contains(p.Text, "\n") {
			t.Errorf("bad problem %d of %d lines: %q", p.Line, lineCount, p.Text)
		}
	}
}

// put replaces the value after the where-th colon, counted around; 0 leaves all as it is. Most mutations of bytes are no
// YAML any more, and the rest seldom reaches a limit.
func put(data []byte, where byte, value string) []byte {
	places := regexp.MustCompile(`: *[^\s,\]}{\[]+`).FindAllIndex(data, -1)
	if where == 0 || len(places) == 0 {
		return data
	}
	at := places[int(where)%len(places)]
	return slices.Concat(data[:at[0]], []byte(": "+value), data[at[1]:])
}

// putAll adds seeds with values that have been limits.
func putAll(f *testing.F, documents ...string) {
	for _, d := range documents {
		f.Add([]byte(d), byte(0), "")
		for i, value := range []string{"0", "-1", "0s", "1d", "a", `"*"`, "https://a.example:1/x", "null", "true", "&a b"} {
			f.Add([]byte(d), byte(i+1), value)
		}
	}
}

// A catalog without problems is one that all others can work with.
func FuzzCatalog(f *testing.F) {
	putAll(f, oneServer,
		oneServer+"    env: [{name: A, secret: {key: k}}]\n    instances: {per: user, max: 3}\n    scale: {idle: 1s}\n    startup: {timeout: 5s}\n",
		oneServer+"policies: [{name: p, deny: {users: [\"partner:x\"]}, servers: [a*], tools: [\"*\"]}]\n",
		oneServer+"filters: [{name: f, webhook: {url: \"https://x.test\"}, on: [\"*\"]}]\n",
		"apiVersion: v1\nservers:\n  - {id: a, runtime: {npx: {package: \"@a/b@1.2.3\", args: [x]}}, stdio: {child: shared, max: 2}}\n",
		"apiVersion: v1\nservers:\n  - {id: a, runtime: {uvx: {package: \"a[b]==1.2\"}}}\n",
		"apiVersion: v1\nservers: [{id: a, runtime: {remote: {url: \"http://127.0.0.1:81/\"}}, egress: [{cidr: 127.0.0.0/8, ports: [81]}]}]\n",
		"servers: [{id: &a b, title: *a, <<: !!x {}}]\n---\n")
	f.Fuzz(func(t *testing.T, data []byte, where byte, value string) {
		data = put(data, where, value)
		for _, table := range [][]unbuilt{nil, catalogUnbuilt} {
			c, problems := parseCatalog([]*document{newDocument("c", data)}, testPlatform, LeaveConditions, table)
			checkProblems(t, data, problems)
			agree(t, schemaFor(table), data, len(problems) > 0)
			if len(problems) > 0 || table == nil {
				continue
			}
			for _, s := range c.Servers {
				if !ValidID(s.ID) || !ours(s.Runtime) || s.Scale.Idle <= 0 || s.Scale.Max != 1 || s.Startup.Timeout <= 0 || s.Token != nil {
					t.Errorf("accepted: %+v", s)
				}
			}
			if _, err := policy.CompileAdmission(c.Policies, testPlatform.Issuers); err != nil {
				t.Errorf("accepted policies do not compile: %v", err)
			}
		}
	})
}

// ours reports whether a runtime is one of those that are built.
func ours(r Runtime) bool { return r.NPX != nil || r.UVX != nil || r.Command != nil || r.Remote != nil }

func FuzzPlatform(f *testing.F) {
	putAll(f, goodPlatform, goodPlatform+"limits: {burst: 3}\ndeployer: {state: x}\nhosts: [a]\norigins: [\"http://localhost\"]\n", goodPlatform+goodKnative)
	f.Fuzz(func(t *testing.T, data []byte, where byte, value string) {
		data = put(data, where, value)
		d := newDocument("/etc/p.yaml", data)
		p := parsePlatform(d)
		checkProblems(t, data, d.problems)
		agree(t, compiledPlatform(), data, len(d.problems) > 0)
		if len(d.problems) > 0 {
			return
		}
		if len(p.Issuers) == 0 || strings.Count(p.PublicURL, "/") != 2 || p.Catalog[0] != '/' || p.Limits.Burst < 1 {
			t.Errorf("accepted: %+v", p)
		}
		if err := policy.CheckSubject("x", p.Issuers); err != nil {
			t.Errorf("no name can be resolved: %v", err)
		}
		if k := p.Deployer.Knative; k != nil && (k.Ingress.CA == "") != k.Ingress.InsecurePlainIngress {
			t.Errorf("accepted: %+v", k)
		}
	})
}
