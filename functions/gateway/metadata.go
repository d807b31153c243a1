package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
)

// metadata is the protected resource metadata (RFC 9728 §2).
type metadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// signInAt are the issuers where clients sign people in: brokers first, since clients take the first, and those left out
// for whom one speaks.
func signInAt(issuers []identity.Issuer) (urls []string) {
	var others, spokenFor []string
	for _, i := range issuers {
		if len(i.Brokers) > 0 {
			urls, spokenFor = append(urls, i.URL), append(spokenFor, i.Brokers...)
		} else {
			others = append(others, i.URL)
		}
	}
	return append(urls, slices.DeleteFunc(others, func(u string) bool { return slices.Contains(spokenFor, u) })...)
}

// serveMetadata tells any client where to sign in for a server, or for the gateway's list of servers. It is served for every well-formed id, known or not,
// so that it tells nobody which servers exist; every page may read it.
func (g *gateway) serveMetadata(c *call, id string) error {
	if !c.ours() {
		return foreign("Host", nil)
	}
	h := c.w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET")
		h.Set("Access-Control-Allow-Headers", "MCP-Protocol-Version")
		h.Set("Access-Control-Max-Age", "600")
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Message: "Use GET", Header: http.Header{"Allow": {"GET"}}}
	}
	m := metadata{Resource: c.platform.ResourceAt(strings.ToLower(c.r.Host), id), BearerMethods: []string{"header"}}
	m.AuthorizationServers = signInAt(c.platform.Issuers)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "public, max-age=300")
	return json.NewEncoder(c.w).Encode(m)
}
