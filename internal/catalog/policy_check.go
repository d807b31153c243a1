package catalog

import (
	"strings"

	"mcpgateway/internal/policy"
)

// checkPolicy checks a policy against the servers of the catalog and the issuers of the platform.
func checkPolicy(d *document, p *policy.Policy, all *names) {
	d.label(&p.Name, p, "policies.name")
	d.one(p, p, "policies: exactly one of %s is needed", alternative{"allow", p.Allow != nil}, alternative{"deny", p.Deny != nil})
	checkSubjects(d, p.Allow, "allow", all)
	checkSubjects(d, p.Deny, "deny", all)
	if !d.has(&p.Servers) {
		needed(d, &p.Servers, p, "policies.servers is missing")
	}
	checkGlobs(d, &p.Servers, "policies.servers")
	for i, id := range p.Servers {
		fits := d.matches(&p.Servers[i], serverGlob)
		if _, ok := all.servers[id]; !ok && !strings.Contains(id, "*") {
			d.bad(&p.Servers[i], "policies.servers: there is no server %.60q", id)
		} else if !fits {
			d.bad(&p.Servers[i], "policies.servers: no server can be called %.60q", id)
		}
	}
	checkGlobs(d, &p.Tools, "policies.tools")
	checkGlobs(d, &p.Prompts, "policies.prompts")
	checkGlobs(d, &p.Resources, "policies.resources")
	checkGlobs(d, &p.Methods, "policies.methods")
	for i, m := range p.Methods {
		if p.Allow != nil && policy.InTable(m) {
			d.bad(&p.Methods[i], "policies.methods: %s is allowed by tools, prompts and resources; naming it here allows nothing", m)
		}
	}
	checkWhen(d, p, all)
	checkScopes(d, p)
}

var serverGlob = newPattern(`^[a-z0-9*-]*$`)

func checkSubjects(d *document, s *policy.Subjects, name string, all *names) {
	if s == nil {
		return
	}
	named := len(s.Users) + len(s.Groups)
	switch {
	case !s.Anyone && named == 0:
		d.bad(s, "policies.%s names nobody: write users, groups or anyone: true", name)
	case s.Anyone && named > 0:
		d.bad(s, "policies.%s: anyone includes everybody; leave out users and groups, or anyone", name)
	}
	for _, list := range []struct {
		of    string
		names []string
	}{{"users", s.Users}, {"groups", s.Groups}} {
		for i := range list.names {
			subject := &list.names[i]
			d.text(subject, "policies."+name+"."+list.of, 512)
			if n := len(all.platform.Issuers); n == 0 || n > maxIssuers {
				continue
			}
			if err := policy.CheckSubject(*subject, all.platform.Issuers); err != nil {
				d.bad(subject, "policies.%s.%s: %v", name, list.of, err)
			}
		}
	}
}

// checkGlobs refuses an empty list as well: no tools at all is not what a policy without the line means.
func checkGlobs(d *document, globs *[]string, name string) {
	notEmpty(d, globs, name)
	for i := range *globs {
		if err := policy.CheckGlob((*globs)[i]); err != nil {
			d.bad(&(*globs)[i], "%s: %v", name, err)
		}
	}
}
