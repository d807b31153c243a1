package deploy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
)

func TestMakeRules(t *testing.T) {
	named := func(name string, servers ...string) policy.Policy {
		return policy.Policy{Name: name, Allow: &policy.Subjects{Anyone: true}, Servers: servers}
	}
	issuers := []identity.Issuer{{Name: "main", URL: "https://login.example.com", Keys: []byte(`{"keys":[]}`)}}
	c := &catalog.Catalog{Policies: []policy.Policy{
		named("own", "github"), named("others", "gitlab", "git"), named("all", "*"), named("some", "x", "git*"),
		named("far", "z*"), named("longer", "github-two"),
	}, Filters: []catalog.Filter{
		{Name: "far", MCP: &catalog.MCPFilter{URL: "https://f.test/mcp", Tool: "check", Egress: []catalog.Egress{{CIDR: "10.0.0.0/8", Ports: []int{443}}}},
			On: []string{"*"}, OnError: "accept", Timeout: catalog.Duration(time.Second)},
		{Name: "near", Server: "checker", Tool: "look", Egress: []catalog.Egress{{CIDR: "10.0.0.0/8", Ports: []int{443}}},
			On: []string{"*"}, OnError: "reject", Timeout: catalog.Duration(time.Second)},
		{Name: "unused", Webhook: &catalog.Webhook{URL: "https://unused.test"}},
		{Name: "pii", Webhook: &catalog.Webhook{URL: "https://pii.test", Secret: &catalog.SecretKey{Key: "pii"}},
			On: []string{"tools/call"}, Mutate: true, OnError: "reject", Timeout: catalog.Duration(2 * time.Second)},
	}}
	p := &catalog.Platform{PublicURL: "https://mcp.example.com", Hosts: []string{"mcp.internal:8443", "mcp.example.com"},
		Limits: catalog.Limits{CallTimeout: catalog.Duration(time.Hour)},
		OAuth:  &catalog.OAuth{URL: "https://login.example.com", Clients: []catalog.OAuthClient{{ID: "x", Secret: "x"}, {ID: "github-shim", Keys: "k", Shim: "github"}}}}
	got := MakeRules(catalog.Server{ID: "github", Filters: []string{"pii", "far", "near"}}, c, p, issuers, 7)
	want := rules.Rules{
		Version: 7, Server: "github", Issuers: issuers, CallTimeout: time.Hour,
		Resources: []string{"https://mcp.example.com/mcp-connect/github", "https://mcp.internal:8443/mcp-connect/github"},
		Policies:  []policy.Policy{c.Policies[0], c.Policies[2], c.Policies[3], c.Policies[4]},
		Filters: []rules.Filter{
			{Name: "pii", On: []string{"tools/call"}, Mutate: true, OnError: "reject", Timeout: 2 * time.Second},
			{Name: "far", Server: &rules.FilterServer{URL: "https://f.test/mcp", Tool: "check", Egress: "10.0.0.0/8 443"}, On: []string{"*"}, OnError: "accept", Timeout: time.Second},
			{Name: "near", Server: &rules.FilterServer{URL: "https://mcp.example.com/mcp-connect/checker", Tool: "look", Egress: "10.0.0.0/8 443", Entry: "checker",
				Caller: &rules.FilterUser{Issuer: "https://login.example.com", Client: rules.Client{ID: "github-shim", Auth: rules.AuthPrivateKey}}},
				On: []string{"*"}, OnError: "reject", Timeout: time.Second},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other rules (-want +got):\n%s", diff)
	}
}
