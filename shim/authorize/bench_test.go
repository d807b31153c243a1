package authorize

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/condition"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/task"
)

// conditions are ten such as operators write.
var conditions = []string{
	`args.base == "main"`, `mcp.tool == "merge" && args.base == "main"`, `args.amount > 1000`, `has(args.path) && args.path.startsWith("/etc/")`,
	`user.client == "unknown"`, `args.labels.exists(l, l == "secret")`, `args.title.matches("(?i)password")`,
	`now < timestamp("2020-01-01T00:00:00Z")`, `"contractors" in user.groups && args.repo != "public"`, `mcp.tool.startsWith("admin_")`,
}

const arguments = `{"base":"dev","amount":12.5,"path":"/srv/x","labels":["a","b","c"],"title":"A change of this and that","repo":"public","n":1}`

// governed is an exchange under 50 policies that all speak of the caller, 10 of them with conditions, all denies: so each
// is asked.
func governed(tb testing.TB, body string) (Checker, *call.Exchange) {
	tb.Helper()
	var policies []policy.Policy
	who := identity.Identity{Issuer: "https://corp.test", Subject: "ann"}
	for i := range 50 {
		group := fmt.Sprint("team-", i)
		who.Groups = append(who.Groups, group)
		p := policy.Policy{Name: fmt.Sprint("p", i), Allow: &policy.Subjects{Groups: []string{group}}, Servers: []string{"github"}, Tools: []string{fmt.Sprint("get_", i, "_*"), "tool_*"}}
		if i < len(conditions) {
			p.Allow, p.Deny, p.Tools, p.When = nil, p.Allow, nil, conditions[i]
		}
		policies = append(policies, p)
	}
	policies, err := compile.Policies(policies)
	if err != nil {
		tb.Fatal(err)
	}
	set, err := policy.Compile(policies, []identity.Issuer{{URL: "https://corp.test", Default: true}}, condition.Loader{}.Load)
	if err != nil {
		tb.Fatal(err)
	}
	owners, err := task.NewOwners(task.Config{Max: 1, PerUser: 1, Keep: time.Hour, Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	x := call.Begin(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), &ruleset.Set{Rules: rules.Rules{Server: "github"}, Policies: set}, nil)
	x.Who = who
	if x.MCP, err = mcp.Parse([]byte(body)); err != nil {
		tb.Fatal(err)
	}
	return Checker{Tasks: owners, Logger: slog.New(slog.DiscardHandler)}, x
}

const called = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tool_7","arguments":` + arguments + `}}`

func BenchmarkCheck(b *testing.B) {
	c, x := governed(b, called)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(x); err != nil {
			b.Fatal(err)
		}
	}
}

func thousandTools() []byte {
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`{"name":"tool_%d","description":"does this and that","inputSchema":{"type":"object","properties":{"x":{"type":"string"}}}}`, i))
	}
	return []byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.Join(items, ",") + `]}}`)
}

func BenchmarkFilter(b *testing.B) {
	c, x := governed(b, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	list := thousandTools()
	b.ReportAllocs()
	for b.Loop() {
		out, err := c.Filter(x, list)
		if err != nil || len(out) != len(list) {
			b.Fatalf("%d bytes of %d, %v", len(out), len(list), err)
		}
	}
}
