package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	// The decoder of go-jose refuses duplicate names and compares names exactly; encoding/json does neither.
	strictjson "github.com/go-jose/go-jose/v4/json"
)

// Bounds of what a client says of itself.
const (
	MaxMetadata  = 64 << 10 // bytes
	maxRedirects = 20
	maxName      = 128 // bytes
	maxKeys      = 10
)

// ErrMetadata and ErrRedirect are why metadata is refused: the error codes of RFC 7591 section 3.2.2.
var (
	ErrMetadata = errors.New("invalid_client_metadata")
	ErrRedirect = errors.New("invalid_redirect_uri")
)

// Metadata is what a client says of itself (RFC 7591 section 2), as far as anybody here goes by it. Logos and other
// addresses are not looked at: nobody fetches them, or shows them to a person.
type Metadata struct {
	ClientID      string          `json:"client_id,omitempty"` // of documents only
	Name          string          `json:"client_name,omitempty"`
	RedirectURIs  []string        `json:"redirect_uris"`
	Auth          string          `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes    []string        `json:"grant_types,omitempty"`
	ResponseTypes []string        `json:"response_types,omitempty"`
	Keys          json.RawMessage `json:"jwks,omitempty"`
	KeysURI       string          `json:"jwks_uri,omitempty"`
	Scope         string          `json:"scope,omitempty"`
}

// ParseMetadata reads and checks metadata, and fills in what was left out. The error is ErrMetadata or ErrRedirect, with
// what is wrong.
func ParseMetadata(data []byte) (Metadata, error) {
	var m Metadata
	if len(data) > MaxMetadata || !utf8.Valid(data) || strictjson.Unmarshal(data, &m) != nil {
		return m, fmt.Errorf("%w: it is no JSON object of client metadata in UTF-8, or longer than 64 KiB", ErrMetadata)
	}
	if len(m.RedirectURIs) == 0 || len(m.RedirectURIs) > maxRedirects {
		return m, fmt.Errorf("%w: redirect_uris must be 1 to %d", ErrRedirect, maxRedirects)
	}
	for _, uri := range m.RedirectURIs {
		if err := CheckRedirect(uri); err != nil {
			return m, fmt.Errorf("%w: %w", ErrRedirect, err)
		}
	}
	if len(m.Name) > maxName || strings.ContainsFunc(m.Name, invisible) {
		return m, fmt.Errorf("%w: client_name is longer than %d bytes or holds characters that nobody sees", ErrMetadata, maxName)
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{GrantCode}
	}
	if len(m.ResponseTypes) == 0 {
		m.ResponseTypes = []string{"code"}
	}
	if !slices.Contains(m.GrantTypes, GrantCode) || !slices.Contains(m.ResponseTypes, "code") {
		return m, fmt.Errorf("%w: grant_types must hold authorization_code, and response_types code", ErrMetadata)
	}
	// Types that are not supported here are left out of the answer rather than refused (RFC 7591 section 2).
	m.GrantTypes, m.ResponseTypes = []string{GrantCode, GrantRefresh}, []string{"code"}
	return m, nil
}

// invisible are characters that would have a name read other than it is written: controls, line breaks, direction marks.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == utf8.RuneError
}
