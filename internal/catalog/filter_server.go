package catalog

import (
	"slices"
	"strings"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
)

// checkFilterServer checks a filter that is a server of the catalog.
func checkFilterServer(d *document, f *Filter, all *names) {
	if f.Server == "" {
		if d.has(&f.Tool) || d.has(&f.Egress) {
			d.bad(f, "filters.tool and filters.egress are for filters.server")
		}
		return
	}
	if _, ok := all.servers[f.Server]; !ok {
		d.bad(&f.Server, "filters.server: there is no server %.60q", f.Server)
	}
	if !d.has(&f.Tool) {
		f.Tool = rules.FilterTool
	}
	d.required(&f.Tool, f, "filters.tool")
	d.text(&f.Tool, "filters.tool", 256)
	checkEgress(d, f.Egress, "filters.egress", all.platform)
	p := all.platform
	if p.OAuth == nil {
		d.bad(&f.Server, "filters.server needs the platform's oauth, which gives a shim the token that it calls the server with")
		return
	}
	for _, at := range []struct{ what, url string }{{"publicURL", p.PublicURL}, {"oauth.url", p.OAuth.URL}} {
		if at.url != "" { // the platform's checks say so
			d.lines[&at.url] = d.lines[&f.Server]
			destination{&at.url, "filters.server: the platform's " + at.what, &f.Egress, "filters.egress", "the gateway"}.check(d)
		}
	}
}

// checkServerFilters checks those of an entry's filters that are servers of the catalog.
func checkServerFilters(d *document, s *Server, all *names) {
	deep := all.chains.depth(s.ID) > rules.MaxFilterDepth
	for i, name := range s.Filters {
		asked := all.chains.servers[name]
		switch cycle := all.chains.cycles[step{s.ID, asked}]; {
		case asked == "":
			continue
		case cycle != "":
			d.bad(&s.Filters[i], "filters: %.60q would go round in a cycle: the filters of each of these servers ask the next: %s", name, cycle)
		case deep && all.chains.depth(asked) >= rules.MaxFilterDepth:
			d.bad(&s.Filters[i], "filters: %.60q is a server with filters that are servers with filters, and so on: at most %d may stand behind each other", name, rules.MaxFilterDepth)
		}
		if all.platform.OAuth != nil && all.platform.OAuth.ShimClient(s.ID) == nil {
			d.bad(&s.Filters[i], "filters: %.60q is a server of the catalog, and no client under the platform's oauth.clients is there for the shim to call it as: add one with shim: %s", name, s.ID)
		}
	}
}

// checkFilterPolicies has an operator allow shims what they are to do: nothing is allowed that no policy says.
func checkFilterPolicies(docs []*document, parts []*Catalog, whole *Catalog, all *names) {
	p := all.platform
	if p.OAuth == nil {
		return
	}
	admission, err := policy.CompileAdmission(whole.Policies, p.Issuers)
	if err != nil {
		return // a policy of somebody whom only the platform could name
	}
	for i, part := range parts {
		for j := range part.Servers {
			s := &part.Servers[j]
			for n, name := range s.Filters {
				asked, client := all.chains.servers[name], p.OAuth.ShimClient(s.ID)
				if asked != "" && !admission.Admits(identity.Identity{Issuer: p.OAuth.URL, Subject: client.ID, Client: client.ID}, asked) {
					docs[i].bad(&s.Filters[n], "filters: no policy lets the shim of %s use %s, so %.60q would fail each time: allow the user %q there, of the issuer %s",
						s.ID, asked, name, client.ID, p.OAuth.URL)
				}
			}
		}
	}
}

// chains are the servers that are asked about messages to other servers, and whose own messages others are asked about.
type chains struct {
	filters map[string][]string // by server
	servers map[string]string   // by filter, those that are servers
	depths  map[string]int      // by server: how many filters are asked at the same time at most
	cycles  map[step]string     // by the step that closes one
	path    []string
}

// step leads from a server to one that is a filter of it.
type step struct{ from, to string }

func newChains() *chains {
	return &chains{filters: map[string][]string{}, servers: map[string]string{}, depths: map[string]int{}, cycles: map[step]string{}}
}

// depth follows the filters of a server, and notes the cycles that it finds. It must not be called before all is collected.
func (c *chains) depth(server string) int {
	if d, known := c.depths[server]; known {
		return d
	}
	c.depths[server] = 0 // while it is under way: what leads back here goes no deeper
	c.path = append(c.path, server)
	deepest := 0
	for _, name := range c.filters[server] {
		asked := c.servers[name]
		if asked == "" {
			continue
		}
		if at := slices.Index(c.path, asked); at >= 0 {
			c.cycles[step{server, asked}] = strings.Join(append(slices.Clone(c.path[at:]), asked), " → ")
			continue
		}
		deepest = max(deepest, 1+c.depth(asked))
	}
	c.path = c.path[:len(c.path)-1]
	c.depths[server] = deepest
	return deepest
}
