package identity

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	strictjson "github.com/go-jose/go-jose/v4/json"
)

// resourcePlaceholder stands in Issuer.Audiences for the URLs of the server that is asked for.
const resourcePlaceholder = "{resource}"

// leeway is how far the clocks of an issuer and ours may differ (RFC 7519 section 4.1.4: no more than a few minutes).
const leeway = time.Minute

// Bounds on what a token may hold. A subject has at most 255 characters (OpenID Connect Core section 2).
const (
	maxSubject = 255
	maxURL     = 2048
	maxName    = 256 // bytes in a group, scope or client
	maxNames   = 1000
	maxActor   = 4096 // bytes of the act claim, with the actors before it
	// maxInstant is the end of the year 9999, in seconds.
	maxInstant = 253402300799
)

// Refusals that the claims give reason for.
var (
	errClaims      = errors.New("the claims of the token are malformed")
	errNoSubject   = errors.New("the token has no subject (sub)")
	errNoExpiry    = errors.New("the token has no expiry (exp)")
	errExpired     = errors.New("the token has expired")
	errNotYet      = errors.New("the token is not valid yet (nbf)")
	errFuture      = errors.New("the token was issued in the future (iat): a clock is wrong")
	errAudience    = errors.New("the token was issued for another audience (aud) than this server")
	errIDToken     = errors.New("the token is not an access token but an ID or logout token")
	errOtherKind   = errors.New("the token is not an access token: a claim (typ, token_use, token_type) names another kind")
	errNoEvidence  = errors.New("the token does not show that it is an access token: it has no scope or client claim")
	errProof       = errors.New("the token is bound to a key (cnf), and proof of possession is not supported")
	errManyGroups  = errors.New("the token lists more than 1000 groups: have the issuer send only those that are needed")
	errLeftOut     = errors.New("the issuer left the groups out because there are too many: have it send only those that are needed")
	errManyScopes  = errors.New("the token lists more than 1000 scopes")
	errTextTooLong = errors.New("a claim of the token is too long")
)

// claims is a JWT claims set (RFC 7519), whose names are compared exactly.
type claims map[string]json.RawMessage

// parseClaims reads a claims set. Bytes that are no UTF-8 are refused, because decoders replace them all by the same
// character, which would make one subject of two.
func parseClaims(payload []byte) (claims, error) {
	var c claims
	if !utf8.Valid(payload) || strictjson.Unmarshal(payload, &c) != nil {
		return nil, errMalformed
	}
	return c, nil
}

// identity checks everything but the signature and returns whom the token speaks of.
func (c claims) identity(from Issuer, resources []string, now time.Time) (Identity, error) {
	var id Identity
	if err := c.checkKind(from.TokenType); err != nil {
		return Identity{}, err
	}
	var err error
	if id.Expiry, err = c.checkTimes(now, from.late()); err != nil {
		return Identity{}, err
	}
	if err := c.checkAudience(from.Audiences, resources); err != nil {
		return Identity{}, err
	}
	sub, err := c.text("sub", maxQualified)
	if err != nil {
		return Identity{}, err
	}
	if id.Issuer, id.Subject, err = from.whose(sub); err != nil {
		return Identity{}, err
	}
	if id.Subject == "" {
		return Identity{}, errNoSubject
	}
	if id.Groups, err = c.groups(from.GroupsClaim); err != nil {
		return Identity{}, err
	}
	if id.Client, err = c.first("client_id", "azp"); err != nil {
		return Identity{}, err
	}
	if id.Scopes, err = c.scopes(); err != nil {
		return Identity{}, err
	}
	if id.ACR, err = c.text("acr", maxName); err != nil {
		return Identity{}, err
	}
	if c.has("act") {
		id.Actor = string(c["act"])
	}
	return id, checkActor(id.Actor)
}

// checkActor bounds an act claim: it becomes a part of keys.
func checkActor(act string) error {
	switch {
	case len(act) > maxActor:
		return errTextTooLong
	case act != "" && act[0] != '{':
		return errClaims
	}
	return nil
}

// Claims that tell the kinds of JWT apart where the typ header does not. accessKinds are the values that name an
// access token, in lower case: RFC 9068, Keycloak, Cognito, and what several libraries write.
var (
	kindClaims     = []string{"typ", "token_use", "token_type"}
	accessKinds    = []string{"at+jwt", "bearer", "jwt", "access", "access_token"}
	idClaims       = []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}
	accessEvidence = []string{"scope", "scp", "client_id", "cid", "appid", "azpacr", "gty"}
)

// checkKind refuses what is no access token, or one whose possession alone proves nothing (RFC 7800, RFC 9449).
//
// Where the typ header does not tell, claims of ID and logout tokens are refused, and so is a token without one that
// only access tokens carry: an issuer may send an ID token without a nonce for the same audience.
func (c claims) checkKind(tokenType string) error {
	if c.has("cnf") {
		return errProof
	}
	if tokenType != typeJWT {
		return nil
	}
	if slices.ContainsFunc(idClaims, c.has) {
		return errIDToken
	}
	evidence := slices.ContainsFunc(accessEvidence, c.has)
	for _, name := range kindClaims {
		kind, err := c.text(name, maxName)
		if err != nil {
			return err
		}
		if kind == "" {
			continue
		}
		kind = strings.ToLower(kind)
		if !slices.Contains(accessKinds, kind) {
			return errOtherKind
		}
		evidence = evidence || kind != "jwt"
	}
	if !evidence {
		return errNoEvidence
	}
	return nil
}

// late is how long a token of the issuer's is taken after its expiry. One that speaks for the users of others gave its word when
// what they have ends, once they are refused there: that is not stretched.
func (i Issuer) late() time.Duration {
	if len(i.Brokers) > 0 {
		return 0
	}
	return leeway
}

// checkTimes returns the expiry of a token that is valid now, within the leeway, and for late after its expiry.
func (c claims) checkTimes(now time.Time, late time.Duration) (time.Time, error) {
	expiry, err := c.instant("exp")
	if err != nil {
		return time.Time{}, err
	}
	if expiry.IsZero() {
		return time.Time{}, errNoExpiry
	}
	if !now.Before(expiry.Add(late)) {
		return time.Time{}, errExpired
	}
	for _, start := range []struct {
		claim   string
		refusal error
	}{{"nbf", errNotYet}, {"iat", errFuture}} {
		t, err := c.instant(start.claim)
		if err != nil {
			return time.Time{}, err
		}
		if t.After(now.Add(leeway)) {
			return time.Time{}, start.refusal
		}
	}
	return expiry, nil
}

// checkAudience asks that one of the token's audiences is one of those wanted, as an exact string: nothing is
// normalized, because two spellings of a URL may be two servers.
func (c claims) checkAudience(wanted, resources []string) error {
	audiences, err := c.texts("aud", maxURL)
	if err != nil {
		return err
	}
	for _, w := range wanted {
		if !strings.Contains(w, resourcePlaceholder) {
			if slices.Contains(audiences, w) {
				return nil
			}
			continue
		}
		for _, r := range resources {
			if slices.Contains(audiences, strings.ReplaceAll(w, resourcePlaceholder, r)) {
				return nil
			}
		}
	}
	return errAudience
}

// groups returns the groups of the claim, a text or a list of texts. Groups that the issuer left out ("overage" of
// Entra ID, told by _claim_names or hasgroups) are an error and not an empty list, which would let the token pass by
// every policy that denies a group.
func (c claims) groups(name string) ([]string, error) {
	if name == "" {
		name = "groups"
	}
	if c.has("_claim_names") {
		elsewhere := claims{}
		if strictjson.Unmarshal(c["_claim_names"], &elsewhere) != nil {
			return nil, errClaims
		}
		if elsewhere.has(name) {
			return nil, errLeftOut
		}
	}
	if !c.has(name) && c.has("hasgroups") && string(c["hasgroups"]) != "false" {
		return nil, errLeftOut
	}
	groups, err := c.texts(name, maxName)
	if err != nil {
		return nil, err
	}
	if len(groups) > maxNames {
		return nil, errManyGroups
	}
	return groups, nil
}

// scopes returns the scope claim (RFC 8693 section 4.2) or its older spelling scp, split at spaces.
func (c claims) scopes() ([]string, error) {
	name := "scope"
	if !c.has(name) {
		name = "scp"
	}
	lines, err := c.texts(name, maxToken)
	if err != nil {
		return nil, err
	}
	var scopes []string
	for _, l := range lines {
		scopes = append(scopes, strings.Fields(l)...)
	}
	if len(scopes) > maxNames {
		return nil, errManyScopes
	}
	return slices.Clip(scopes), nil
}

// has says whether the claim is there and not null.
func (c claims) has(name string) bool {
	v, ok := c[name]
	return ok && string(v) != "null"
}

// first returns the first of the claims that is there.
func (c claims) first(names ...string) (string, error) {
	for _, n := range names {
		if c.has(n) {
			return c.text(n, maxName)
		}
	}
	return "", nil
}

// text returns a claim that is a text, empty where it is missing.
func (c claims) text(name string, max int) (string, error) {
	var s string
	if !c.has(name) {
		return "", nil
	}
	if strictjson.Unmarshal(c[name], &s) != nil {
		return "", errClaims
	}
	return s, checkText(s, max)
}

// texts returns a claim that is a text or a list of texts, none where it is missing or an empty text.
func (c claims) texts(name string, max int) ([]string, error) {
	if !c.has(name) {
		return nil, nil
	}
	if c[name][0] != '[' {
		s, err := c.text(name, max)
		if err != nil || s == "" {
			return nil, err
		}
		return []string{s}, nil
	}
	var list []string
	if strictjson.Unmarshal(c[name], &list) != nil {
		return nil, errClaims
	}
	for _, s := range list {
		if s == "" {
			return nil, errClaims
		}
		if err := checkText(s, max); err != nil {
			return nil, err
		}
	}
	return slices.Clip(list), nil
}

// checkText refuses texts that are too long, and control and replacement characters: these values go into logs and
// are compared with policies.
func checkText(s string, max int) error {
	if len(s) > max {
		return errTextTooLong
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }) {
		return errClaims
	}
	return nil
}

// instant returns a claim that is a NumericDate (RFC 7519 section 2), the zero time where it is missing.
func (c claims) instant(name string) (time.Time, error) {
	var seconds float64
	if !c.has(name) {
		return time.Time{}, nil
	}
	if strictjson.Unmarshal(c[name], &seconds) != nil || seconds < 0 || seconds > maxInstant {
		return time.Time{}, errClaims
	}
	return time.Unix(int64(seconds), 0), nil
}
