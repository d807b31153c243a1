package catalog

import "strings"

// Resource is the URL under which a server is offered: the value of "{resource}" in audiences (RFC 8707) and of
// "resource" in the protected resource metadata (RFC 9728).
func (p *Platform) Resource(server string) string { return p.PublicURL + "/mcp-connect/" + server }

// ResourceAt is the URL of a server at one of the gateway's hosts: clients compare it with the one they were given.
func (p *Platform) ResourceAt(host, server string) string {
	scheme, _, _ := strings.Cut(p.PublicURL, "://")
	return scheme + "://" + host + "/mcp-connect/" + server
}

// Resources lists all URLs under which a server is offered, at PublicURL first: a token must be bound to one of them.
func (p *Platform) Resources(server string) []string {
	list := make([]string, 1, 1+len(p.Hosts))
	list[0] = p.Resource(server)
	for _, host := range p.Hosts {
		if r := p.ResourceAt(host, server); r != list[0] {
			list = append(list, r)
		}
	}
	return list
}
