package catalog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
)

var testPlatform = &Platform{Issuers: []identity.Issuer{
	{Name: "corp", URL: "https://corp.test", Default: true},
	{Name: "partner", URL: "https://partner.test"},
}}

// checkTestCondition stands for the compiler, whose own tests say what it refuses.
func checkTestCondition(when string) error {
	if strings.HasPrefix(when, "wrong") {
		return errors.New("does not compile")
	}
	return nil
}

// problemsOf returns the problems of a catalog in one file, each as "line: text".
func problemsOf(t testing.TB, text string, table []unbuilt) []string {
	t.Helper()
	_, problems := parseCatalog([]*document{newDocument("c", []byte(text))}, testPlatform, checkTestCondition, table)
	agree(t, schemaFor(table), []byte(text), len(problems) > 0)
	return lines(problems)
}

func lines(problems Problems) []string {
	var out []string
	for _, p := range problems {
		out = append(out, fmt.Sprintf("%d: %s", p.Line, p.Text))
	}
	return out
}

// checkLines compares problems with what each must begin with.
func checkLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("not expected: %s", got[i])
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

const oneServer = "apiVersion: v1\nservers:\n  - id: a\n    runtime: {command: {exec: x, http: {}}}\n"

func TestLoadCatalog(t *testing.T) {
	dir := writeFiles(t, map[string]string{"catalog.yaml": `apiVersion: v1
servers:
  - id: github
    title: GitHub
    description: Issues and pull requests
    runtime:
      command: {exec: bin/github, args: ["-listen", "127.0.0.1:{port}", '{"a": 1}'], http: {path: /api/mcp}}
    env:
      - {name: LOG_LEVEL, value: ""}
      - {name: GITHUB_TOKEN, secret: {key: token}}
    instances: {per: user, max: 500}
    scale: {idle: 1m30s, max: 1, concurrency: 7}
    sessions: none
    listen: poll
    discovery: live
    startup: {timeout: 5s}
    resources: {cpu: 500m, memory: 256Mi}
    audit: {bodies: full, maxBody: 2048, redact: [$..token], required: false}
  - id: plain
    runtime: {command: {exec: plain, http: {}}}
    instances: shared
policies:
  - {name: engineers, allow: {users: [ann, "partner:bob"], groups: [engineering]}, servers: [github, "pl*"], tools: ["get_*"]}
  - {name: nobody, deny: {anyone: true}, servers: ["*"], methods: ["tools/*", "tools/call"]}
`})
	got, err := LoadCatalog(dir+"/catalog.yaml", testPlatform, checkTestCondition)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/catalog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	agree(t, compiledCatalog(), text, false)
	plain := Server{
		ID: "plain", Runtime: Runtime{Command: &Command{Exec: "plain", HTTP: &HTTP{Path: "/mcp"}}},
		Scale:    Scale{Idle: Duration(time.Minute), Max: 1, Concurrency: 100},
		Sessions: "survive", Listen: "poll", Discovery: "live",
		Startup: Startup{Timeout: Duration(time.Minute)}, Audit: Audit{Bodies: "metadata", MaxBody: 64 << 10},
	}
	want := &Catalog{
		APIVersion: "v1",
		Servers: []Server{{
			ID: "github", Title: "GitHub", Description: "Issues and pull requests",
			Runtime: Runtime{Command: &Command{
				Exec: dir + "/bin/github", Args: []string{"-listen", "127.0.0.1:{port}", `{"a": 1}`}, HTTP: &HTTP{Path: "/api/mcp"},
			}},
			Env:       []EnvVar{{Name: "LOG_LEVEL"}, {Name: "GITHUB_TOKEN", Secret: &SecretKey{Key: "token"}}},
			Instances: Instances{PerUser: true, Max: 500},
			Scale:     Scale{Idle: Duration(90 * time.Second), Max: 1, Concurrency: 7},
			Sessions:  "none", Listen: "poll", Discovery: "live",
			Startup:   Startup{Timeout: Duration(5 * time.Second)},
			Resources: Resources{CPU: "500m", Memory: "256Mi"},
			Audit:     Audit{Bodies: "full", MaxBody: 2048, Redact: []string{"$..token"}},
		}, plain},
		Policies: []policy.Policy{
			{Name: "engineers", Allow: &policy.Subjects{Users: []string{"ann", "partner:bob"}, Groups: []string{"engineering"}},
				Servers: []string{"github", "pl*"}, Tools: []string{"get_*"}},
			{Name: "nobody", Deny: &policy.Subjects{Anyone: true}, Servers: []string{"*"}, Methods: []string{"tools/*", "tools/call"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s, ok := got.Server("plain"); !ok || s != &got.Servers[1] {
		t.Errorf("Server(plain) = %v, %v", s, ok)
	}
	if s, ok := got.Server("none"); ok || s != nil {
		t.Errorf("Server(none) = %v, %v", s, ok)
	}
}

// Each line of a document is wrong in its own way; all are found at once.
func TestShape(t *testing.T) {
	checkLines(t, problemsOf(t, `apiVersion: v2
server: []
servers:
  - id: 123
    runtime: [npx]
    title: {}
    env: {A: b}
    scale: {max: 1.5, idle: 60, max: 2, concurrency: "5"}
    audit: {required: yes}
    instances: {per: group, max: x, of: 3}
    resources: null
    startup: {timeout: [1s]}
  - runtime: {command: {exec: x, http: , args: [1]}}
    id:
    instances: private
    env: [{name: A, value: 8080}, "B=c", {name: C, secret: hunter2}, {name: D, secret: {hunter2: x}}]
  - plain text
policies: {name: p}
<<: {a: 1}
1: 2
`, catalogUnbuilt),
		"1: apiVersion must be v1",
		`2: unknown field "server"`,
		"4: id must be text",
		"5: runtime must be a mapping",
		"6: title must be text",
		"7: env must be a list",
		"8: scale.max must be a whole number",
		`8: scale.idle "60" is not a duration`,
		"8: scale.max is given twice, first in line 8",
		"8: scale.concurrency must be a whole number",
		"8: scale.max other than 1 is not built yet",
		"8: scale.max other than 1 is not built yet",
		"9: audit.required must be true or false",
		"10: instances.max must be a whole number",
		`10: unknown field "instances.of"`,
		"10: instances must say per: user, or be shared",
		"11: resources is empty",
		"12: startup.timeout must be text",
		"13: runtime.command.http is empty",
		"13: runtime.command.args must be text: write it in quotes",
		"14: id is empty",
		"15: instances must be shared, or {per: user, max: 100}",
		"16: env.value must be text: write it in quotes",
		"16: env must be a mapping",
		"16: env.secret must be a mapping",
		"16: unknown field in a secret: it takes the secret",
		"16: env.secret.key is missing",
		"17: servers must be a mapping",
		"18: policies must be a list",
		"19: field names are text",
		"20: field names are text",
	)
}

func TestDocuments(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "0: the file is empty"},
		{"comments", "# nothing\n", "0: the file is empty"},
		{"null", "---\n", "2: the document is empty"},
		{"text", "hello", "1: the document must be a mapping"},
		{"list", "- a", "1: the document must be a mapping"},
		{"two documents", oneServer + "---\n" + oneServer, "5: a second document begins here"},
		{"broken second document", oneServer + "---\n{", "6: did not find expected node content"},
		{"syntax", "apiVersion: v1\nservers: [\n", "2: did not find expected node content"},
		{"tab", "apiVersion: v1\n\tservers: []\n", "2: found a tab character"},
		{"invalid UTF-8", "apiVersion: \"\xff\"\n", "0: the file is not UTF-8"},
		{"UTF-16", "\xfe\xff\x00a", "0: the file is not UTF-8"},
		{"content in a comment", oneServer + "# nothing \u2028policies: []\n", "5: a line break that editors do not show"},
		{"lone carriage return", "# nothing \r" + oneServer, "1: a line break that editors do not show"},
		{"carriage return at the end", oneServer + "\r", "5: a line break that editors do not show"},
		{"anchor", strings.Replace(oneServer, "id: a", "id: &x a", 1), "3: anchors are not supported"},
		{"alias", strings.Replace(oneServer, "id: a", "id: &x a\n    title: *x", 1), "3: anchors are not supported|4: aliases are not supported"},
		{"unknown alias", strings.Replace(oneServer, "id: a", "id: a\n    title: *hunter2", 1), "4: aliases are not supported; quote text that begins with *"},
		{"tag", strings.Replace(oneServer, "id: a", "id: !hunter2 a", 1), "3: tags are not supported"},
		{"binary", strings.Replace(oneServer, "id: a", "id: !!binary YQ==", 1), "3: tags are not supported"},
		{"too large", strings.Repeat("#", maxFile+1), "0: the file is larger than 4 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, tt.text, catalogUnbuilt)
			for i, want := range strings.Split(tt.want, "|") {
				if i >= len(got) || !strings.HasPrefix(got[i], want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Errorf("%q repeats what may be a secret", got)
			}
		})
	}
	for _, good := range []string{
		strings.Replace(oneServer, "id: a", `id: "a"`, 1), strings.ReplaceAll(oneServer, "\n", "\r\n"), "\uFEFF" + oneServer,
	} {
		checkLines(t, problemsOf(t, good, catalogUnbuilt))
	}
}

func TestUnbuilt(t *testing.T) {
	const text = `apiVersion: v1
servers:
  - id: a
    runtime:
      npx: {package: "x@1.2.3"}
    stdio: {child: session}
    sessions: strict
    listen: hold
    egress: [{cidr: 10.0.0.0/8, ports: [443]}]
    token: {insecureForward: true}
    filters: [f]
    instances:
      per: user
      idleDelete: 30d
  - {id: b, runtime: {uvx: {package: "x==1"}}, listen: off}
  - {id: c, runtime: {container: {image: i, port: 80}}, sessions: none, scale: {max: 2}}
  - {id: d, runtime: {remote: {url: "https://x.test/mcp"}}, egress: [{cidr: 10.0.0.0/8, ports: [443]}]}
  - {id: e, runtime: {command: {exec: x}}, headers: [{name: X-A, claim: a}]}
filters:
  - {name: f, mcp: {url: "https://x.test", tool: t}, on: [tools/call]}
policies:
  - {name: p, allow: {anyone: true}, servers: [a], when: "true"}
`
	var got []string
	for _, p := range problemsOf(t, text, catalogUnbuilt) {
		what, reason, ok := strings.Cut(p, " is not built yet: ")
		if !ok || reason == "" {
			t.Errorf("not expected: %s", p)
		}
		got = append(got, what)
	}
	want := []string{
		"9: egress without runtime.remote on one machine", "10: token for a server that speaks stdio", "14: instances.idleDelete on one machine",
		"16: runtime.container without an engine", "16: scale.max other than 1",
		"18: headers for a server that speaks stdio",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, u := range catalogUnbuilt {
		if !strings.Contains(strings.Join(want, "\n"), u.what) {
			t.Errorf("%s is not tested", u.what)
		}
	}
	dir := writeFiles(t, map[string]string{"c.yaml": text})
	c, err := ParseCatalog(dir+"/c.yaml", testPlatform)
	if err != nil {
		t.Fatalf("ParseCatalog: %v", err)
	}
	if diff := cmp.Diff(&Stdio{Child: "session", Max: 8}, c.Servers[4].Stdio); diff != "" {
		t.Errorf("a stdio server's default: %s", diff)
	}
	if c.Servers[0].Listen != "hold" || c.Servers[1].Listen != "off" { // which other YAML takes for false
		t.Errorf("listen: %q and %q", c.Servers[0].Listen, c.Servers[1].Listen)
	}
	if f := c.Filters[0]; f.Timeout != Duration(2*time.Second) || f.OnError != "reject" {
		t.Errorf("a filter's defaults: %+v", f)
	}
	if _, err := LoadCatalog(dir+"/c.yaml", testPlatform, checkTestCondition); err == nil {
		t.Error("LoadCatalog accepts what is not built")
	}
}

func TestProblemsAreBounded(t *testing.T) {
	got := problemsOf(t, "apiVersion: v1\nservers: ["+strings.Repeat("x,", maxItems)+"]\n", nil)
	if len(got) != maxProblems+1 || !strings.Contains(got[0], "more problems") {
		t.Errorf("%d problems, first %q", len(got), got[0])
	}
	long := strings.Repeat("x", 1<<20)
	for _, text := range []string{long, long + ": 1", "apiVersion: " + long, "servers: [{id: " + long + "}]",
		"policies: [{name: p, servers: [" + long + "], allow: {users: [\"" + long + ":" + long + "\"]}}]"} {
		for _, p := range problemsOf(t, text, nil) {
			if len(p) > 300 {
				t.Errorf("a problem of %d bytes: %.400s", len(p), p)
			}
		}
	}
}

// Documents that make a careless reader slow: many keys, deep nests, many of one name.
func TestHostileDocumentsAreFast(t *testing.T) {
	repeat := func(s string) string { return strings.Repeat(s, (1<<18)/len(s)) }
	var keys strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	for name, text := range map[string]string{
		"keys": keys.String(), "same key": repeat("a: 1\n"), "brackets": repeat("["), "braces": repeat("{"),
		"dashes": repeat("- "), "questions": repeat("? "), "quotes": repeat("'"), "items": "servers: [" + repeat("a,") + "]",
		"filters": "servers: [{filters: [" + repeat("f,") + "]}]", "hashes": repeat("#\n"), "colons": repeat(": "),
		"users": "policies: [{allow: {users: [" + repeat("u,") + "]}}]", "stars": repeat("*a "), "anchors": "[" + repeat("&a a,") + "]",
	} {
		start := time.Now() // of our own reader alone
		parseCatalog([]*document{newDocument("c", []byte(text))}, testPlatform, checkTestCondition, catalogUnbuilt)
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}
