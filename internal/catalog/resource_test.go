package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResources(t *testing.T) {
	p := &Platform{PublicURL: "https://x.test", Hosts: []string{"y.test:8443", "x.test"}}
	want := []string{"https://x.test/mcp-connect/a", "https://y.test:8443/mcp-connect/a"}
	if diff := cmp.Diff(want, p.Resources("a")); diff != "" {
		t.Error(diff)
	}
	// The gateway itself, as clients write its URL.
	want = []string{"https://x.test", "https://y.test:8443", "https://x.test/", "https://y.test:8443/"}
	if diff := cmp.Diff(want, p.Resources(Gateway)); diff != "" {
		t.Error(diff)
	}
	if got := p.ResourceAt("z.test", "a"); got != "https://z.test/mcp-connect/a" {
		t.Errorf("ResourceAt: %s", got)
	}
}

func TestAliases(t *testing.T) {
	p := &Platform{PublicURL: "https://x.test", Hosts: []string{"y.test"}, Domain: "s.test:8443"}
	want := []string{"https://x.test/mcp-connect/a", "https://y.test/mcp-connect/a", "https://a.s.test:8443/mcp"}
	if diff := cmp.Diff(want, p.Resources("a")); diff != "" {
		t.Error(diff)
	}
	for _, resource := range want {
		if id, ok := p.ServerAt(resource); !ok || id != "a" {
			t.Errorf("at %s: %q, %v", resource, id, ok)
		}
	}
	for _, resource := range []string{"", "https://x.test", "https://x.test/", "https://x.test/mcp-connect/", "https://x.test/mcp-connect/A", "https://x.test/a", "http://x.test/mcp-connect/a",
		"https://z.test/mcp-connect/a", "https://a.s.test/mcp", "https://a.s.test:8443/mcp/", "https://a.s.test:8443/mcp-connect/a", "https://b.a.s.test:8443/mcp", "https://s.test:8443/mcp",
		"https://.s.test:8443/mcp", "https://A.s.test:8443/mcp", "https://a.s.test:8443/mcp/mcp", "https://u@a.s.test:8443/mcp", "mcp"} {
		if id, ok := p.ServerAt(resource); ok {
			t.Errorf("%s is %q", resource, id)
		}
	}
	if diff := cmp.Diff([]string{"https://x.test", "https://y.test", "https://x.test/", "https://y.test/"}, p.Resources(Gateway)); diff != "" {
		t.Error(diff)
	}
	p.Domain = ""
	if id, ok := p.AliasAt("a."); ok {
		t.Errorf("without a domain: %q", id)
	}
}
