package deploy

import (
	"strings"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
)

func TestMakeEgress(t *testing.T) {
	inside := []catalog.Egress{{CIDR: "10.1.0.0/16", Ports: []int{8443}}}
	hub := []catalog.Egress{{CIDR: "140.82.112.0/20", Ports: []int{443, 80}}, {CIDR: "10.1.0.0/16", Ports: []int{8443}}}
	container := catalog.Runtime{Container: &catalog.Container{Image: "i", Port: 80}}
	remote := catalog.Runtime{Remote: &catalog.Remote{URL: "https://mcp.example.net:8443/mcp"}}
	filters := []catalog.Filter{
		{Name: "hook", Webhook: &catalog.Webhook{URL: "https://hook.test/"}},
		{Name: "near", Webhook: &catalog.Webhook{URL: "http://near.test:8443/", Egress: inside}},
		{Name: "tool", MCP: &catalog.MCPFilter{URL: "https://tool.test:9000/"}},
		{Name: "server", Server: "x", Egress: inside},
		{Name: "server at the gateway", Server: "x"},
		{Name: "odd", MCP: &catalog.MCPFilter{URL: "ftp://tool.test/"}},
	}
	exchange := func(x catalog.Exchange) *catalog.Token { return &catalog.Token{Exchange: &x} }
	const public443, public8443, named = "0.0.0.0/0 443, ::/0 443", "0.0.0.0/0 8443, ::/0 8443", "140.82.112.0/20 443 80, 10.1.0.0/16 8443"
	for name, c := range map[string]struct {
		server catalog.Server
		want   string // "public" is none
	}{
		"nothing":               {catalog.Server{Runtime: container}, "public"},
		"egress":                {catalog.Server{Runtime: container, Egress: hub}, named},
		"remote":                {catalog.Server{Runtime: remote}, public8443},
		"remote that is named":  {catalog.Server{Runtime: remote, Egress: inside}, "10.1.0.0/16 8443"},
		"filters":               {catalog.Server{Runtime: container, Filters: []string{"hook", "near", "tool"}}, public443 + ", 10.1.0.0/16 8443, 0.0.0.0/0 9000, ::/0 9000"},
		"filter of the catalog": {catalog.Server{Runtime: container, Filters: []string{"server", "server at the gateway"}}, "10.1.0.0/16 8443"},
		"each once":             {catalog.Server{Runtime: container, Egress: hub, Filters: []string{"near"}}, named},
		"token endpoint":        {catalog.Server{Runtime: container, Token: exchange(catalog.Exchange{URL: "https://login.test/t"})}, public443},
		"token endpoint, named": {catalog.Server{Runtime: container, Token: exchange(catalog.Exchange{URL: "https://login.test/t", Egress: inside})}, "10.1.0.0/16 8443"},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := MakeEgress(c.server, filters)
			if got := egress.Format(rules); err != nil || got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
	for want, s := range map[string]catalog.Server{
		"filter none is not in the catalog": {Runtime: container, Filters: []string{"none"}},
		"neither with https":                {Runtime: container, Filters: []string{"odd"}},
		"is no network":                     {Runtime: container, Egress: []catalog.Egress{{CIDR: "x"}}},
		"names no port":                     {Runtime: remote, Egress: []catalog.Egress{{CIDR: "10.0.0.0/8"}}},
	} {
		if rules, err := MakeEgress(s, filters); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %s", rules, err, want)
		}
	}
}
