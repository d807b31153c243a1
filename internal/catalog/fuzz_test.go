package catalog

import (
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

// A catalog without problems is one that all others can work with.
func FuzzCatalog(f *testing.F) {
	f.Add([]byte(oneServer))
	f.Add([]byte(oneServer + "    env: [{name: A, secret: {key: k}}]\n    instances: {per: user, max: 3}\n    scale: {idle: 1s}\n"))
	f.Add([]byte("apiVersion: v1\nservers:\n  - {id: a, runtime: {npx: {package: \"@a/b@1.2.3\", args: [x]}}, stdio: {child: shared, max: 2}}\n"))
	f.Add([]byte("apiVersion: v1\nservers:\n  - {id: a, runtime: {uvx: {package: \"a[b]==1.2\"}}}\n"))
	f.Add([]byte(oneServer + "policies: [{name: p, deny: {users: [\"partner:x\"]}, servers: [a*], tools: [\"*\"]}]\n"))
	f.Add([]byte(oneServer + "filters: [{name: f, webhook: {url: \"https://x.test\"}, on: [\"*\"]}]\n"))
	f.Add([]byte("apiVersion: v1\nservers: [{id: a, runtime: {remote: {url: \"http://127.0.0.1:81/\"}}, egress: [{cidr: 127.0.0.0/8, ports: [81]}]}]\n"))
	f.Add([]byte("servers: [{id: &a b, title: *a, <<: !!x {}}]\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, table := range [][]unbuilt{nil, catalogUnbuilt} {
			c, problems := parseCatalog([]*document{newDocument("c", data)}, testPlatform, table)
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
			if _, err := policy.Compile(c.Policies, testPlatform.Issuers); err != nil {
				t.Errorf("accepted policies do not compile: %v", err)
			}
		}
	})
}

// ours reports whether a runtime is one of those that are built.
func ours(r Runtime) bool { return r.NPX != nil || r.UVX != nil || r.Command != nil || r.Remote != nil }

func FuzzPlatform(f *testing.F) {
	f.Add([]byte(goodPlatform))
	f.Add([]byte(goodPlatform + "limits: {burst: 3}\ndeployer: {state: x}\nhosts: [a]\norigins: [\"http://localhost\"]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDocument("/etc/p.yaml", data)
		p := parsePlatform(d)
		checkProblems(t, data, d.problems)
		agree(t, compiledPlatform(), data, len(d.problems) > 0)
		if len(d.problems) > 0 {
			return
		}
		if len(p.Issuers) == 0 || strings.HasSuffix(p.PublicURL, "/") || p.Catalog[0] != '/' || p.Limits.Burst < 1 {
			t.Errorf("accepted: %+v", p)
		}
		if err := policy.CheckSubject("x", p.Issuers); err != nil {
			t.Errorf("no name can be resolved: %v", err)
		}
	})
}
