package catalog

// names is what the documents of a catalog and the platform define for each other to name.
type names struct {
	platform                   *Platform
	servers, filters, policies map[string]place // where each is defined
	condition                  ConditionCheck   // of the when of policies
}

type place struct {
	file string
	line int
}

func newNames(p *Platform) *names {
	return &names{platform: p, servers: map[string]place{}, filters: map[string]place{}, policies: map[string]place{}}
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
	}
	for i := range c.Filters {
		define(ns.filters, "filter", &c.Filters[i].Name)
	}
	for i := range c.Policies {
		define(ns.policies, "policy", &c.Policies[i].Name)
	}
}
