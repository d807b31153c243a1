package catalog

// names is what the documents of a catalog and the platform define for each other to name.
type names struct {
	platform                   *Platform
	servers, filters, policies map[string]place    // where each is defined
	anywhere                   map[string]bool     // filters that no egress says where they are
	on                         map[string][]string // selectors of filters
	chains                     *chains
	condition                  ConditionCheck // of the when of policies
}

type place struct {
	file string
	line int
}

func newNames(p *Platform) *names {
	return &names{platform: p, servers: map[string]place{}, filters: map[string]place{}, policies: map[string]place{}, anywhere: map[string]bool{}, on: map[string][]string{},
		chains: newChains()}
}

// collect adds what a document defines, and a problem for what is defined already.
func (ns *names) collect(d *document, c *Catalog) {
	define := func(in map[string]place, kind string, name *string) {
		if first, ok := in[*name]; ok {
			d.bad(name, "%s %.60q is defined already, at %s:%d", kind, *name, first.file, first.line)
		} else if *name != "" {
			in[*name] = place{d.file, d.lines[name]}
		}
	}
	for i := range c.Servers {
		define(ns.servers, "server", &c.Servers[i].ID)
		ns.chains.filters[c.Servers[i].ID] = c.Servers[i].Filters
	}
	for i := range c.Filters {
		f := &c.Filters[i]
		define(ns.filters, "filter", &f.Name)
		ns.on[f.Name] = f.On
		ns.anywhere[f.Name] = f.Webhook != nil && len(f.Webhook.Egress) == 0 || f.MCP != nil && len(f.MCP.Egress) == 0 ||
			f.Server != "" && len(f.Egress) == 0
		if f.Server != "" {
			ns.chains.servers[f.Name] = f.Server
		}
	}
	for i := range c.Policies {
		define(ns.policies, "policy", &c.Policies[i].Name)
	}
}
