package structure

import (
	"fmt"
	"slices"
)

// Reach says how far a rule looks.
type Reach int

// The reaches.
const (
	Import Reach = iota // what the package's own files import
	Link                // all that ends up in a program with the package
)

// Rule forbids imports. All paths stand for themselves and what lies below them.
type Rule struct {
	From   []string // whom it binds
	Except []string // those in From whom it does not bind
	Reach  Reach
	Never  []string // what must not be reached
	Why    string
}

// Rules are the rules of this repository.
var Rules = []Rule{
	{From: []string{Module}, Except: []string{Module + "/knative"}, Reach: Import,
		Never: []string{"k8s.io", "sigs.k8s.io", "knative.dev"},
		Why:   "Kubernetes is one place to run servers among others; whoever starts one elsewhere must not need it"},
	{From: []string{Module + "/functions/gateway", Module + "/shim"}, Reach: Link,
		Never: []string{"k8s.io", "sigs.k8s.io", "knative.dev"},
		Why:   "gateway and shim start cold, and may deploy nothing"},
	{From: []string{Module}, Except: []string{Module + "/functions/gateway", Module + "/knative/ingress"}, Reach: Import,
		Never: []string{Module + "/knative/ingress"},
		Why:   "it is how the gateway sees a cluster; whoever may do more there has a client for it"},
	{From: []string{Module + "/functions/gateway"}, Reach: Link,
		Never: []string{"github.com/docker", "github.com/moby", Module + "/internal/deploy/docker"},
		Why:   "the gateway faces the internet and may start no container; that is the deployer's"},
	{From: []string{Module}, Except: []string{Module + "/internal/deploy/docker"}, Reach: Import,
		Never: []string{"github.com/moby"},
		Why:   "an engine is one place to run servers among others; whoever starts one elsewhere must not need it"},
	{From: []string{Module}, Except: []string{Module + "/functions/deployer", Module + "/cmd/mcpgateway"}, Reach: Import,
		Never: []string{Module + "/internal/deploy/docker"},
		Why:   "who may use an engine is root on its machine: that is the deployer, and the operator's command"},
	{From: []string{Module + "/functions/gateway"}, Reach: Link,
		Never: []string{"github.com/google/cel-go", "cel.dev", Module + "/internal/condition"},
		Why:   "the gateway only admits; expressions over arguments are decided by the shim, which sees the body"},
	{From: []string{Module + "/shim"}, Reach: Link,
		Never: []string{Module + "/internal/condition/compile", "cel.dev/cel-go/cel", "cel.dev/cel-go/parser", "github.com/antlr4-go"},
		Why:   "the shim runs conditions that the deployer compiled; a parser of expressions beside every server is megabytes that idle"},
	{From: []string{Module + "/internal/policy", Module + "/internal/catalog", Module + "/internal/documents", Module + "/internal/rules"}, Reach: Link,
		Never: []string{"cel.dev", Module + "/internal/condition"},
		Why:   "the gateway links these: what decides conditions and checks them is handed in"},
	{From: []string{Module + "/functions/gateway"}, Reach: Link,
		Never: []string{Module + "/internal/deploy/process"},
		Why:   "the gateway faces the internet and may start no process; that is the deployer's"},
	{From: []string{Module + "/functions/gateway"}, Reach: Link,
		Never: []string{Module + "/internal/audit/spool", Module + "/internal/audit/sink"},
		Why:   "the gateway has no disk of its own that outlives a call; what it refuses is a line"},
	{From: []string{Module + "/shim"}, Reach: Link,
		Never: []string{Module + "/functions", Module + "/localstack", Module + "/knative", Module + "/cmd"},
		Why:   "the shim trusts nobody: it shares leaves with the gateway, and nothing else"},
	{From: []string{Module + "/functions"}, Reach: Link,
		Never: []string{Module + "/shim", Module + "/localstack", Module + "/cmd"},
		Why:   "imports follow the request, and no function depends on how it is run here"},
	{From: []string{Module + "/localstack/lambda"}, Reach: Link,
		Never: []string{Module + "/functions", Module + "/shim", Module + "/knative", Module + "/cmd"},
		Why:   "it runs functions as AWS does, which knows none of them"},
	{From: []string{Module + "/internal"}, Reach: Link,
		// These drive the whole system from outside and are imported by nobody.
		Except: []string{Module + "/internal/conformance", Module + "/internal/bench", Module + "/internal/clients", Module + "/internal/proxytest"},
		Never:  []string{Module + "/functions", Module + "/shim", Module + "/localstack", Module + "/knative", Module + "/cmd"},
		Why:    "internal packages are leaves"},
	{From: []string{Module + "/shim"}, Reach: Link,
		Never: []string{"go.yaml.in/yaml", "gopkg.in/yaml.v3", "gopkg.in/yaml.v2", Module + "/internal/catalog"},
		Why:   "the shim reads signed JSON only; a YAML parser beside every server is attack surface and megabytes"},
	{From: []string{Module + "/functions", Module + "/knative"}, Reach: Link,
		Never: []string{"github.com/mark3labs/mcp-go"},
		Why:   "the path owns its framing: that library refuses methods it does not know"},
	{From: []string{Module + "/shim"}, Except: []string{Module + "/shim/filter", Module + "/shim/webhook"}, Reach: Import,
		Never: []string{"github.com/mark3labs/mcp-go"},
		Why:   "the path owns its framing: filters are MCP servers of their own, and only what speaks with them uses the library"},
}

// Violations lists where packages break rules, a line each.
func Violations(packages []Package, rules []Rule) []string {
	var found []string
	for _, p := range packages {
		for _, r := range rules {
			if !belowAny(p.ImportPath, r.From) || belowAny(p.ImportPath, r.Except) {
				continue
			}
			reached, verb := p.Imports, "imports"
			if r.Reach == Link {
				reached, verb = p.Deps, "links"
			}
			for _, path := range reached {
				if belowAny(path, r.Never) {
					found = append(found, fmt.Sprintf("%s %s %s: %s", p.ImportPath, verb, path, r.Why))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}
