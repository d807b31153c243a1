package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// Concerning are the policies that can concern a server. It errs on the side of yes, for every pattern with a star: a deny
// that is left out would allow, one too many does nothing.
func Concerning(policies []Policy, server string) (some []Policy) {
	for _, p := range policies {
		if slices.ContainsFunc(p.Servers, func(pattern string) bool { return pattern == server || strings.Contains(pattern, "*") }) {
			some = append(some, p)
		}
	}
	return some
}

// Fingerprint names a list of policies: of two that say something else, or the same in another order, it is another. What was
// made of a when is no part of it.
func Fingerprint(policies []Policy) (string, error) {
	plain := slices.Clone(policies)
	for i := range plain {
		plain[i].Program = nil
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:16]), nil
}
