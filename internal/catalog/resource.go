package catalog

import (
	"slices"
	"strings"
)

// Resource is the URL under which a server is offered, or where server is Gateway the gateway itself: the value of
// "{resource}" in audiences (RFC 8707) and of "resource" in the protected resource metadata (RFC 9728).
func (p *Platform) Resource(server string) string { return p.PublicURL + resourcePath(server) }

// Gateway stands in the place of a server's id for the gateway itself, which has its list of servers to offer.
const Gateway = ""

func resourcePath(server string) string {
	if server == Gateway {
		return ""
	}
	return "/mcp-connect/" + server
}

// AliasPath is the path of a server at a host of its own.
const AliasPath = "/mcp"

// AliasAt returns the server that has a host to itself: some clients call nothing but /mcp.
func (p *Platform) AliasAt(host string) (server string, ok bool) {
	server, ok = strings.CutSuffix(host, "."+p.Domain)
	return server, ok && p.Domain != "" && ValidID(server)
}

// ResourceAt is the URL of a server at one of the gateway's hosts: clients compare it with the one they were given.
func (p *Platform) ResourceAt(host, server string) string {
	scheme, _, _ := strings.Cut(p.PublicURL, "://")
	if at, ok := p.AliasAt(host); ok && at == server {
		return scheme + "://" + host + AliasPath
	}
	return scheme + "://" + host + resourcePath(server)
}

// ServerAt returns the server that is offered under a URL.
func (p *Platform) ServerAt(resource string) (server string, ok bool) {
	_, rest, _ := strings.Cut(resource, "://")
	host, path, _ := strings.Cut(rest, "/")
	if server, ok = p.AliasAt(host); !ok {
		server = path[strings.LastIndex(path, "/")+1:]
	}
	return server, ValidID(server) && slices.Contains(p.Resources(server), resource)
}

// Resources lists all URLs under which a server is offered, at PublicURL first: a token must be bound to one of them.
func (p *Platform) Resources(server string) []string {
	list := make([]string, 1, 2+len(p.Hosts))
	list[0] = p.Resource(server)
	for _, host := range p.Hosts {
		if r := p.ResourceAt(host, server); r != list[0] {
			list = append(list, r)
		}
	}
	if server == Gateway {
		for _, r := range list {
			list = append(list, r+"/") // the same URL (RFC 3986 §6.2.3), and how many clients write it
		}
	} else if p.Domain != "" {
		list = append(list, p.ResourceAt(server+"."+p.Domain, server))
	}
	return list
}
