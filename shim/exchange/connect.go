package exchange

import (
	"net/http"
	"net/url"
	"strings"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/mcp"
)

// maxPage bounds the address of a page, in bytes.
const maxPage = 2048

// own tells whether a page that an issuer names (RFC 6749, section 5.2, error_uri) is at the origin of its token endpoint, which
// the operator wrote: people are led to no other.
func (p *endpoint) own(page string) bool {
	u, err := url.Parse(page)
	if err != nil || len(page) > maxPage || u.User != nil || strings.ContainsFunc(page, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	theirs, err := egress.Origin(u)
	if err != nil {
		return false
	}
	ours, err := egress.Origin(p.url)
	return err == nil && ours == theirs
}

// unconnected is the answer to who has not connected an account at the server. Whoever knows the client's era and what it can do
// has it lead its person to the page; see mcp.Elicitation.
func unconnected(f *failure) error {
	message := "Connect your account at this server first, and then try again: " + f.page
	return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused, Cause: f.cause, Message: message,
		Elicit: &mcp.Elicitation{URL: f.page, Message: "Connect your account at this server, and then try again."}}
}
