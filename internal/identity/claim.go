package identity

import (
	"errors"
	"regexp"
	"strings"

	strictjson "github.com/go-jose/go-jose/v4/json"

	"mcpgateway/internal/base64url"
)

var errNoClaim = errors.New("the token has no such claim, or one that is no text, whole number or truth value")

// literal are the claims that are what they are written as.
var literal = regexp.MustCompile(`^(-?[0-9]{1,20}|true|false)$`)

// Claim returns a top-level claim of a token as text, if it is a text, a whole number or a truth value. It checks nothing:
// the token must be one that Verify has accepted.
func Claim(token, name string) (string, error) {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, err := base64url.Decode(payload)
	if err != nil {
		return "", errMalformed
	}
	c, err := parseClaims(decoded)
	if err != nil {
		return "", err
	}
	raw := c[name]
	if literal.Match(raw) {
		return string(raw), nil
	}
	var text string
	if len(raw) == 0 || raw[0] != '"' || strictjson.Unmarshal(raw, &text) != nil {
		return "", errNoClaim
	}
	return text, checkText(text, maxURL)
}
