package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
)

// kind is what can be done about a failure.
type kind int

const (
	broken      kind = iota // by whoever runs the gateway or the issuer
	unavailable             // wait
	signIn                  // by the caller: sign in again
	interact                // by the caller: sign in again and do more
	denied                  // nothing
	connect                 // by the caller: connect an account at the server, on a page of the issuer's
)

// failure is why there is no token. Its cause holds nothing of a token or a secret.
type failure struct {
	kind   kind
	cause  error
	claims []byte        // JSON: what the next sign-in must fulfil
	wait   time.Duration // that the issuer asked for
	page   string        // where the caller connects an account
}

func (f *failure) Error() string { return f.cause.Error() }

// words are the kinds, for operators.
var words = map[kind]string{broken: "broken", unavailable: "unavailable", signIn: "sign_in", interact: "interaction_required", denied: "denied", connect: "connect"}

// word is the kind of a failure, empty where it is none.
func (f *failure) word() string {
	if f == nil {
		return ""
	}
	return words[f.kind]
}

// remembered is how long the same token is not tried again.
func (f *failure) remembered() time.Duration {
	switch f.kind {
	case signIn, interact, denied:
		return refusedFor
	case connect: // who has just done so is not kept waiting
		return 0
	}
	return brokenFor
}

// kinds are those of the error codes: RFC 6749, RFC 8693, OpenID Connect Core section 3.1.2.6, and what Keycloak and
// Microsoft add. invalid_request is not among the caller's, though RFC 8693 has it for a bad subject token too: the token
// was verified a moment ago, so it is rather the configuration that is wrong.
var kinds = map[string]kind{
	"invalid_grant": signIn, "invalid_token": signIn, "expired_token": signIn,
	"interaction_required": interact, "login_required": interact, "consent_required": interact, "account_selection_required": interact,
	"insufficient_user_authentication": interact,
	"access_denied":                    denied,
	"temporarily_unavailable":          unavailable, "server_error": unavailable, "slow_down": unavailable,
}

// failure reads an error response.
func (m *members) failure(status int) *failure {
	f := &failure{kind: kinds[m.Error], claims: claimsOf(m.Claims)}
	if _, known := kinds[m.Error]; !known && (status >= 500 || status == http.StatusTooManyRequests) {
		f.kind = unavailable
	}
	// Microsoft says invalid_grant for both, and has numbers for what is meant (AADSTS50076: a second factor).
	if f.kind == signIn && (f.claims != nil || interactive.MatchString(m.Description)) {
		f.kind = interact
	}
	if f.kind != interact {
		f.claims = nil
	}
	if m.Error == "interaction_required" && m.Page != "" {
		f.kind, f.page = connect, m.Page
	}
	f.cause = fmt.Errorf("the issuer answered %d, error %q: %q", status, clip(m.Error, 64), clip(m.Description, 400))
	return f
}

// interactive are numbers of Microsoft's that ask the user for something: multi-factor authentication (50072, 50074, 50076,
// 50079), consent (65001), a compliant device (53000 to 53003), a new password (50055).
var interactive = regexp.MustCompile(`\bAADSTS(50055|5007[2469]|5300[0-3]|65001)\b`)

// unreadable is a failure whose body is no JSON object.
func unreadable(status int) *failure {
	f := &failure{kind: broken, cause: fmt.Errorf("the issuer answered %d with what is no JSON object", status)}
	if status >= 500 || status == http.StatusTooManyRequests {
		f.kind = unavailable
	}
	return f
}

// claimsOf reads a claims challenge: a JSON object, or a text that holds one. What is neither, or long, is left out.
func claimsOf(raw json.RawMessage) []byte {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	var out bytes.Buffer
	if len(raw) > maxClaims || json.Compact(&out, raw) != nil || out.Bytes()[0] != '{' {
		return nil
	}
	return out.Bytes()
}

// clip bounds what an issuer makes a log hold.
func clip(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// refuse turns a failure into the caller's answer.
func (e *Exchanger) refuse(f *failure) error {
	switch f.kind {
	case signIn:
		return e.challenge(f, "invalid_token", "The identity provider no longer takes your sign-in for this server: sign in again")
	case interact:
		code := "insufficient_user_authentication" // RFC 9470, section 3
		if f.claims != nil {
			code = "insufficient_claims" // Microsoft's, for a claims challenge
		}
		return e.challenge(f, code, "The identity provider asks for more than your sign-in has (a second factor or consent): sign in again")
	case denied:
		return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused, Cause: f.cause,
			Message: "The identity provider does not let you use this server; ask whoever runs it"}
	case connect:
		return unconnected(f)
	case unavailable:
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Cause: f.cause, RetryAfter: max(f.wait, brokenFor),
			Message: "The identity provider cannot give a token for this server at the moment; try again"}
	}
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: f.cause,
		Message: "The identity provider gave no token for this server; whoever runs this gateway finds the cause in its log"}
}

// challenge is a 401 that says what to do (RFC 6750, section 3). Of the issuer's words only the claims are in it, encoded.
func (e *Exchanger) challenge(f *failure, code, message string) error {
	v := `Bearer resource_metadata="` + identity.MetadataURL(e.resource) + `", error="` + code + `", error_description="` + message + `"`
	if f.claims != nil {
		v += `, claims="` + base64.StdEncoding.EncodeToString(f.claims) + `"`
	}
	return &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Cause: f.cause, Message: message,
		Header: http.Header{"Www-Authenticate": {v}}}
}

func busy(cause error) error {
	return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Cause: cause, RetryAfter: brokenFor,
		Message: "The identity provider is being asked by others; try again"}
}

func left(cause error) error {
	return &mcp.Error{Status: mcp.StatusClientLeft, Code: mcp.CodeUnavailable, Message: "The client left", Cause: cause}
}

func noClaim(name string, cause error) error {
	return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused,
		Cause:   errors.Join(fmt.Errorf("claim %s", name), cause),
		Message: "This server is told a claim of your token, and yours has none that it can be told; ask whoever runs this gateway"}
}
