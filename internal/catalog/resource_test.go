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
