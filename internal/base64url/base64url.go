// Package base64url writes bytes as text that stands in URLs and header fields (RFC 4648 section 5), without padding. A text
// is the only one for its bytes: what is recognized, revoked or found by its text has no second name.
package base64url

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Encode returns the text for data.
func Encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// Decode returns the data that Encode made text of. The error says no more than that text is none.
func Decode(text string) ([]byte, error) {
	// Line ends are passed over even by the strict decoder, and without Strict the last character has bits that change nothing.
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("base64url: line ends")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}
