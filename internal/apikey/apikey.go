// Package apikey is what the gateway and the authorization server must agree on about API keys: how one is told from a token,
// and how it is exchanged for one (RFC 8693).
//
// Neither makes or reads a key by it: that is the authorization server's alone.
package apikey

import (
	"regexp"
	"time"
)

// Prefix begins every API key, for scanners to find one that got lost, and the gateway to tell it from a token.
const Prefix = "mgk_"

// The exchange of a key for a token, at the token endpoint.
const (
	Client    = "mcpgateway"                          // as whom the gateway asks; it needs no credential, since the key is one
	TokenType = "urn:x-mcpgateway:token-type:api-key" // of what it brings
)

// Life is how long a token for a key is good, at most. With the minute that clocks may differ it has ended five minutes after
// the key was revoked.
const Life = 4 * time.Minute

var form = regexp.MustCompile(`^` + Prefix + `[A-Za-z0-9_-]{87}$`)

// Is tells whether a text has the form of a key.
func Is(text string) bool { return form.MatchString(text) }
