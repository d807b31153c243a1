package identity

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	// The decoder of go-jose refuses duplicate names and compares names exactly; encoding/json does neither.
	strictjson "github.com/go-jose/go-jose/v4/json"

	"mcpgateway/internal/base64url"
)

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 16 << 10

// The values of Issuer.TokenType.
const (
	typeAccess = "at+jwt" // RFC 9068 section 2.1
	typeJWT    = "JWT"
	// TypeIDJAG is an identity provider's word for who somebody is, which an authorization server takes, and no server
	// (draft-ietf-oauth-identity-assertion-authz-grant).
	TypeIDJAG = "oauth-id-jag+jwt"
)

// algorithms are the signatures that are accepted: none of them can be made with what the issuer publishes.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

var algorithmNames = func() (names []string) {
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	return names
}()

// Refusals that are found before the signature is looked at. Refusals are shown to callers and go into
// WWW-Authenticate headers (RFC 6750 section 3): plain ASCII without quotes, and nothing that the token holds.
var (
	errTooLong       = errors.New("the token is longer than 16 KiB")
	errMalformed     = errors.New("the token is not a well-formed JWT")
	errUnknownIssuer = errors.New("the issuer of the token is not accepted here")
	errAlgorithm     = errors.New("the signing algorithm of the token is not accepted")
	errExtension     = errors.New("the token needs a JWS extension (crit or b64) that is not supported")
	errNotAccess     = errors.New("the token is not an access token: its typ header is not at+jwt")
	errNotIDJAG      = errors.New("the token is not an identity assertion: its typ header is not oauth-id-jag+jwt")
	errOtherType     = errors.New("the token is not an access token: its typ header names another kind")
)

// unverified is what a token says of itself before its signature is checked.
type unverified struct {
	header header
	issuer string
}

// header holds the members of a JOSE header that are looked at. Keys and addresses of keys in it (jwk, jku, x5c, x5u)
// are not among them: only keys that the issuer publishes count.
type header struct {
	Algorithm string          `json:"alg"`
	Type      string          `json:"typ"`
	Critical  json.RawMessage `json:"crit"`
	Encoded   json.RawMessage `json:"b64"`
}

// parseToken reads the header and the issuer of a JWS in compact form (RFC 7515 section 3.1), the only form taken.
func parseToken(token string) (unverified, error) {
	var parts [3][]byte
	rest := token
	for n := range parts {
		part, tail, more := strings.Cut(rest, ".")
		if part == "" || more != (n < len(parts)-1) {
			return unverified{}, errMalformed
		}
		decoded, err := base64url.Decode(part)
		if err != nil {
			return unverified{}, errMalformed
		}
		parts[n], rest = decoded, tail
	}
	var u unverified
	if err := strictjson.Unmarshal(parts[0], &u.header); err != nil {
		return unverified{}, errMalformed
	}
	c, err := parseClaims(parts[1])
	if err != nil {
		return unverified{}, err
	}
	u.issuer, err = c.text("iss", maxURL)
	return u, err
}

// check refuses what the header gives away: algorithms that anyone could use, extensions that change the meaning of
// the signature, and kinds of token that are no access tokens.
func (h header) check(tokenType string) error {
	if !slices.Contains(algorithms, jose.SignatureAlgorithm(h.Algorithm)) {
		return errAlgorithm
	}
	if h.Critical != nil || h.Encoded != nil {
		return errExtension
	}
	// RFC 7515 section 4.1.9: the prefix may be left out, and media types are compared case-insensitively.
	kind := strings.TrimPrefix(strings.ToLower(h.Type), "application/")
	if tokenType == TypeIDJAG {
		if kind != TypeIDJAG {
			return errNotIDJAG
		}
		return nil
	}
	if kind == typeAccess {
		return nil
	}
	if tokenType != typeJWT {
		return errNotAccess
	}
	if kind != "" && kind != "jwt" {
		return errOtherType
	}
	return nil
}
