package catalog

import (
	"fmt"
	"strings"
	"testing"

	"mcpgateway/internal/identity"
)

// shimsOf is a platform whose authorization server knows the shims of some servers.
func shimsOf(servers ...string) *Platform {
	p := &Platform{PublicURL: "https://gateway.test", OAuth: &OAuth{URL: "https://login.test"}, Issuers: []identity.Issuer{
		{Name: "corp", URL: "https://corp.test", Default: true}, {Name: "login", URL: "https://login.test", Brokers: []string{"https://corp.test"}},
	}}
	for _, s := range servers {
		p.OAuth.Clients = append(p.OAuth.Clients, OAuthClient{ID: s + "-shim", Shim: s, Secret: "s"})
	}
	return p
}

// filtersOf is a catalog of servers and who filters them, "a: b c", each line one; the filter that is server b is called f-b.
func filtersOf(policies string, entries ...string) string {
	servers, filters, seen := "apiVersion: v1\nservers:\n", "filters:\n", map[string]bool{}
	for _, e := range entries {
		id, asks, _ := strings.Cut(e, ":")
		var names []string
		for _, a := range strings.Fields(asks) {
			names = append(names, "f-"+a)
			if !seen[a] {
				seen[a] = true
				filters += "  - {name: f-" + a + ", server: " + a + ", on: [tools/call]}\n"
			}
		}
		servers += fmt.Sprintf("  - {id: %s, runtime: {remote: {url: \"https://x.test\"}}, filters: [%s]}\n", id, strings.Join(names, ", "))
	}
	return servers + filters + "policies:\n" + policies
}

const anyoneAnywhere = "  - {name: p, allow: {anyone: true}, servers: ['*']}\n"

func TestFilterServers(t *testing.T) {
	const cycle = "would go round in a cycle: the filters of each of these servers ask the next: "
	for name, tt := range map[string]struct {
		policies string
		entries  []string
		shims    []string
		want     []string
	}{
		"one":        {anyoneAnywhere, []string{"a: b", "b:"}, []string{"a"}, nil},
		"a diamond":  {anyoneAnywhere, []string{"a: b c", "b: d", "c: d", "d:"}, []string{"a", "b", "c"}, nil},
		"itself":     {anyoneAnywhere, []string{"a: a"}, []string{"a"}, []string{`3: filters: "f-a" ` + cycle + "a → a"}},
		"each other": {anyoneAnywhere, []string{"a: b", "b: a"}, []string{"a", "b"}, []string{`4: filters: "f-a" ` + cycle + "a → b → a"}},
		"over steps": {anyoneAnywhere, []string{"x: a", "a: b", "b: c d", "c: a", "d:"}, []string{"x", "a", "b", "c"},
			[]string{`6: filters: "f-a" ` + cycle + "a → b → c → a"}},
		"two cycles": {anyoneAnywhere, []string{"b: a c", "a: b", "c: b"}, []string{"a", "b", "c"},
			[]string{`4: filters: "f-b" ` + cycle + "b → a → b", `5: filters: "f-b" ` + cycle + "b → c → b"}},
		"deep":      {anyoneAnywhere, []string{"a: b", "b: c", "c: d", "d: e", "e:"}, []string{"a", "b", "c", "d"}, nil},
		"too deep":  {anyoneAnywhere, []string{"a: b", "b: c", "c: d", "d: e", "e: f", "f:"}, []string{"a", "b", "c", "d", "e"}, []string{`3: filters: "f-b" is a server with filters that are servers`}},
		"no client": {anyoneAnywhere, []string{"a: b", "b:"}, []string{"b"}, []string{`3: filters: "f-b" is a server of the catalog, and no client`}},
		"no policy": {"  - {name: p, allow: {users: [\"corp:a-shim\"]}, servers: ['*']}\n", []string{"a: b", "b:"}, []string{"a"},
			[]string{`3: filters: no policy lets the shim of a use b, so "f-b" would fail each time: allow the user "a-shim" there, of the issuer https://login.test`}},
		"its policy": {"  - {name: p, allow: {users: [\"login:a-shim\"]}, servers: [b], tools: [filter]}\n", []string{"a: b", "b:"}, []string{"a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := shimsOf(tt.shims...)
			_, problems := parseCatalog([]*document{newDocument("c", []byte(filtersOf(tt.policies, tt.entries...)))}, p, checkTestCondition, nil)
			checkLines(t, lines(problems), tt.want...)
		})
	}
}

func TestFilterServerIsReached(t *testing.T) {
	const local = "http://127.0.0.1:8080"
	for egress, want := range map[string]string{
		"": "filters.server: the platform's publicURL: http:// is plain text",
		", egress: [{cidr: 127.0.0.1/32, ports: [8080]}]":      "filters.egress names no network at port 443, where filters.server: the platform's oauth.url is",
		", egress: [{cidr: 127.0.0.1/32, ports: [80, 443]}]":   "filters.egress names no network at port 8080, where filters.server: the platform's publicURL is",
		", egress: [{cidr: 127.0.0.1/32, ports: [8080, 443]}]": "",
	} {
		p := shimsOf("a")
		p.PublicURL = local
		text := strings.Replace(filtersOf(anyoneAnywhere, "a: b", "b:"), ", on:", egress+", on:", 1)
		_, problems := parseCatalog([]*document{newDocument("c", []byte(text))}, p, checkTestCondition, nil)
		if got := strings.Join(lines(problems), "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %s; want %s", egress, got, want)
		}
	}
	c, problems := parseCatalog([]*document{newDocument("c", []byte(filtersOf(anyoneAnywhere, "a: b", "b:")))}, shimsOf("a"), checkTestCondition, nil)
	if len(problems) > 0 || c.Filters[0].Tool != "filter" {
		t.Errorf("%v: %+v", problems, c.Filters)
	}
}
