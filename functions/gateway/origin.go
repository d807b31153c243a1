package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
)

// allowed collects the Host and Origin values that requests may carry. Knative rewrites Host on the way, so no server
// can check for DNS rebinding itself: it is done here (MCP 2025-11-25, transports, security warning).
func allowed(p *catalog.Platform) (hosts, origins map[string]bool, err error) {
	public, err := url.Parse(p.PublicURL)
	if err != nil {
		return nil, nil, err
	}
	hosts, origins = map[string]bool{strings.ToLower(public.Host): true}, map[string]bool{strings.ToLower(p.PublicURL): true}
	for _, h := range p.Hosts {
		hosts[strings.ToLower(h)] = true
	}
	for _, o := range p.Origins {
		origins[strings.ToLower(o)] = true
	}
	return hosts, origins, nil
}

// ours tells whether the request names one of the gateway's hosts, or a server's.
func (c *call) ours() bool {
	host := strings.ToLower(c.r.Host)
	_, alias := c.platform.AliasAt(host)
	return alias || c.hosts[host]
}

// checkOrigin refuses requests that a page of somebody else makes through its visitor's browser.
func (c *call) checkOrigin() error {
	if !c.ours() {
		return foreign("Host", errors.New("host "+c.r.Host))
	}
	origins := c.r.Header["Origin"]
	if len(origins) == 0 {
		return nil // not a browser
	}
	if len(origins) > 1 || !c.origins[strings.ToLower(origins[0])] {
		return foreign("Origin", errors.New("origin "+strings.Join(origins, " ")))
	}
	h := c.w.Header()
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate, Retry-After, Server-Timing, X-Request-Id")
	h.Set("Vary", "Origin")
	return nil
}

func foreign(header string, cause error) error {
	return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused, Cause: cause,
		Message: "The " + header + " of this request is not one of this gateway's; whoever runs it can add it to the platform file"}
}

// preflight answers a browser that asks what it may send (Fetch standard, CORS protocol).
func (c *call) preflight() error {
	h := c.w.Header()
	h.Set("Access-Control-Allow-Methods", "POST, GET, DELETE")
	h.Set("Access-Control-Allow-Headers", allowHeaders(c.r.Header.Get("Access-Control-Request-Headers")))
	h.Set("Access-Control-Max-Age", "600")
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// tokenLetters make up names of headers (RFC 9110, section 5.6.2), in small letters.
const tokenLetters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"

// allowHeaders lists the headers that clients send, and those of the asked for that mirror tool arguments.
func allowHeaders(asked string) string {
	allow := []string{"Authorization", "Content-Type", "Accept", "MCP-Protocol-Version", "Mcp-Session-Id", "Mcp-Method",
		"Mcp-Name", "Last-Event-ID", "traceparent", "tracestate"}
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.HasPrefix(name, "mcp-param-") && strings.Trim(name, tokenLetters) == "" && len(allow) < 100 {
			allow = append(allow, name)
		}
	}
	return strings.Join(allow, ", ")
}
