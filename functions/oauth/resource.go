package main

import (
	"slices"
	"strings"

	"mcpgateway/internal/catalog"
)

// The scopes that there are. Which tools somebody may call is a matter of the operator's policies and not of scopes.
const (
	scopeMCP     = "mcp"
	scopeOffline = "offline_access"
)

// grantedScope is what a client gets of what it asks for: clients ask for scopes of their own invention too, which are left
// out (RFC 6749 section 3.3), and some ask for none.
func grantedScope(asked string) string {
	if slices.Contains(strings.Fields(asked), scopeOffline) {
		return scopeMCP + " " + scopeOffline
	}
	return scopeMCP
}

// resourceAt is the resource at a path of the gateway's.
func (s *server) resourceAt(path string) (string, bool) {
	id, ok := strings.CutPrefix(path, "/mcp-connect/")
	if !ok || !catalog.ValidID(id) {
		return "", false
	}
	return s.documents.Load().Platform.Resource(id), true
}

// findResource is the one resource that a token will be for (RFC 8707 section 2). Whether there is such a server is not told
// here: every well-formed one of this gateway's will do. here is that of the endpoint's path, if any.
//
// Some clients send none. Then it is the endpoint's, or the only one that there is.
func (s *server) findResource(asked []string, here string) (string, error) {
	platform, servers := s.documents.Load().Platform, s.documents.Load().Catalog.Servers
	if len(asked) > 1 {
		return "", bad("invalid_target", "resource: ask for one server at a time, since a token for two could be taken by one to the other")
	}
	if len(asked) == 0 || asked[0] == "" {
		switch {
		case here != "":
			return here, nil
		case len(servers) == 1:
			return platform.Resource(servers[0].ID), nil
		}
		return "", bad("invalid_target", "resource is missing: name the server's URL")
	}
	resource := asked[0]
	if here != "" && resource != here {
		return "", bad("invalid_target", "resource is another server than this address is for")
	}
	if slices.Contains(platform.Resources(catalog.Gateway), resource) {
		return resource, nil
	}
	if _, ok := platform.ServerAt(resource); ok {
		return resource, nil
	}
	return "", bad("invalid_target", "resource is no server's URL of this gateway")
}
