package identity

import (
	"net/http"
	"strings"
)

// Bearer returns the token of an Authorization header (RFC 6750 §2.1). Tokens in the query or the body are not looked
// for: they end up in logs.
func Bearer(h http.Header) (token string, ok bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// Challenge is the WWW-Authenticate value of a 401 (RFC 6750 §3) that leads a client to the protected resource
// metadata of the server it asked for (RFC 9728 §5.1). failed says that a token was sent and refused.
func Challenge(metadataURL string, failed error) string {
	c := `Bearer resource_metadata="` + metadataURL + `"`
	if failed != nil {
		c += `, error="invalid_token", error_description="` + quotable(failed.Error()) + `"`
	}
	return c
}

// ScopeChallenge is the WWW-Authenticate value of a 403 that tells a client which scopes its next token must have, with
// spaces between (RFC 6750 §3.1; MCP 2026-07-28, authorization, "scope challenge handling").
func ScopeChallenge(metadataURL, scope string) string {
	return `Bearer error="insufficient_scope", scope="` + quotable(scope) + `", resource_metadata="` + metadataURL +
		`", error_description="the token lacks a scope for this"`
}

// quotable keeps what RFC 6750 §3 allows in error_description.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return ' '
		}
		return r
	}, s)
}

// MetadataURL is where the protected resource metadata of a resource is: its URL with the well-known path put in
// before the resource's own (RFC 9728 §3.1).
func MetadataURL(resource string) string {
	scheme, rest, _ := strings.Cut(resource, "://")
	host, path, found := strings.Cut(rest, "/")
	if found {
		path = "/" + path
	}
	return scheme + "://" + host + "/.well-known/oauth-protected-resource" + path
}
