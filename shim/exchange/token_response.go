package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	// The decoder of go-jose refuses duplicate names and compares names exactly; encoding/json does neither.
	strictjson "github.com/go-jose/go-jose/v4/json"

	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

const (
	maxResponse = 64 << 10 // bytes of an issuer's answer
	maxToken    = 16 << 10 // bytes of a token
	maxClaims   = 4 << 10  // bytes of a claims challenge
	// unsaid is how long a token is kept whose life the issuer does not say (RFC 6749, section 5.1, only recommends it).
	unsaid = time.Minute
	// maxSkew is how much earlier than it says a token is taken for over: it has a way to go, and clocks differ.
	maxSkew = 30 * time.Second
	maxLife = 24 * time.Hour // what an issuer says beyond is not believed
)

// issued is a token that an issuer gave for the server.
type issued struct {
	text secret.Text
	life time.Duration // from when it was asked for
}

// useful is how long a token is kept that was asked for at a time: until shortly before it ends, and no longer than the
// caller's own token lasts. A short one is left three quarters of its life.
func (t *issued) useful(asked, subject time.Time) time.Duration {
	return min(t.life-min(maxSkew, t.life/4), subject.Sub(asked))
}

// members are those of a token response (RFC 8693, section 2.2) and of an error response (RFC 6749, section 5.2).
type members struct {
	AccessToken     string          `json:"access_token"`
	IssuedTokenType string          `json:"issued_token_type"`
	TokenType       string          `json:"token_type"`
	ExpiresIn       json.RawMessage `json:"expires_in"`
	Error           string          `json:"error"`
	Description     string          `json:"error_description"`
	Claims          json.RawMessage `json:"claims"` // Microsoft: what the next sign-in must fulfil
	Page            string          `json:"error_uri"`
}

// parseResponse reads the body of an issuer's answer. A failure that the issuer names has its code; everything else that is
// no token is broken.
func parseResponse(status int, body []byte, x *rules.Exchange) (*issued, *failure) {
	if len(body) > maxResponse {
		return nil, &failure{kind: broken, cause: fmt.Errorf("the answer has more than %d bytes", maxResponse)}
	}
	var m members
	if !utf8.Valid(body) || strictjson.Unmarshal(body, &m) != nil || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil, unreadable(status)
	}
	if status != 200 || m.AccessToken == "" && m.Error != "" {
		return nil, m.failure(status)
	}
	t, err := m.token(x)
	if err != nil {
		return nil, &failure{kind: broken, cause: err}
	}
	return t, nil
}

// bearer is what a token may be made of (RFC 6750, section 2.1), so that it can be nothing else in a header.
var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

func (m *members) token(x *rules.Exchange) (*issued, error) {
	switch {
	case m.AccessToken == "":
		return nil, errors.New("the answer holds no access_token")
	case len(m.AccessToken) > maxToken:
		return nil, fmt.Errorf("the token has more than %d bytes", maxToken)
	case !bearer.MatchString(m.AccessToken):
		return nil, errors.New("the token holds what no bearer token may")
	}
	// "N_A" is for what is no access token (RFC 8693, section 2.2.1), as one may ask for.
	if kind := strings.ToLower(m.TokenType); kind != "bearer" && (kind != "n_a" || x.RequestedTokenType == typeAccess) {
		return nil, fmt.Errorf("the token's type is %.40q, and only bearer tokens are supported", m.TokenType)
	}
	if err := checkIssuedType(m.IssuedTokenType); err != nil {
		return nil, err
	}
	life, err := lifetime(m.ExpiresIn)
	if err != nil {
		return nil, err
	}
	return &issued{text: secret.New(m.AccessToken), life: life}, nil
}

// checkIssuedType refuses what is no token for a server: a refresh token would let it have more, an ID token says who
// somebody is. An access token and a JWT may be the same thing.
func checkIssuedType(urn string) error {
	if urn == "" || urn == tokenType+typeAccess || urn == tokenType+typeJWT {
		return nil
	}
	return fmt.Errorf("the issued token is of type %.80q", urn)
}

// lifetime reads expires_in: seconds, as a number, or as the text that some issuers write.
func lifetime(raw json.RawMessage) (time.Duration, error) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return unsaid, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil && !math.IsInf(seconds, 0), math.IsNaN(seconds):
		return 0, errors.New("expires_in is no number")
	case seconds <= 0:
		return 0, errors.New("the token is over already: expires_in is not above 0")
	}
	return time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second)), nil
}
