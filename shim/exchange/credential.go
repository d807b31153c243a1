package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
)

// Credential is what one exchange takes to the server. A nil Credential is nothing. It is not safe for concurrent use.
type Credential struct {
	exchanger *Exchanger
	subject   secret.Text
	who       identity.Identity
	token     *issued // nil where nothing is exchanged
	claims    []field // headers with a claim
	renewed   bool
}

// field is a header that is ready to be sent.
type field struct {
	name  string
	value secret.Text
}

// ErrElsewhere says that the rules were made for a server that is at another place than the shim's.
var ErrElsewhere = errors.New("the credentials are for a server at another origin than this one")

// Set adds the credential to a request to origin, as egress.Origin writes it; empty: to the server beside the shim.
func (c *Credential) Set(h http.Header, origin string) error {
	if c == nil {
		return nil
	}
	e := c.exchanger
	if origin != e.rules.Origin {
		return fmt.Errorf("%w: %s", ErrElsewhere, e.rules.Origin)
	}
	for _, f := range c.claims {
		h[f.name] = []string{f.value.Reveal()}
	}
	for _, f := range e.headers {
		if f.claim == "" {
			h[f.name] = []string{f.value.Reveal()}
		}
	}
	switch {
	case c.token != nil && e.rules.Exchange.Header != "":
		h[http.CanonicalHeaderKey(e.rules.Exchange.Header)] = []string{c.token.text.Reveal()}
	case c.token != nil:
		h["Authorization"] = []string{"Bearer " + c.token.text.Reveal()}
	case e.rules.InsecureForward:
		h["Authorization"] = []string{"Bearer " + c.subject.Reveal()}
	}
	return nil
}

// Renew has the token exchanged again after the server refused it, and tells whether there is another one to try. It says
// no the second time, where nothing was exchanged, and where a new token was refused just now. An error is an *mcp.Error.
func (c *Credential) Renew(ctx context.Context) (bool, error) {
	if c == nil || c.token == nil || c.renewed {
		return false, nil
	}
	c.renewed = true
	if !c.exchanger.tokens.renew(c.exchanger.endpoint.key(c.who), c.token) {
		return false, nil
	}
	token, err := c.exchanger.token(ctx, c.subject, c.who, c.token)
	if err != nil {
		return false, err
	}
	c.token = token
	return true, nil
}

// header is a header of the rules: with a secret, or with the name of a claim.
type header struct {
	field
	claim string
}

func makeHeaders(c rules.Credentials, secrets map[string]secret.Text) ([]header, error) {
	var made []header
	for _, h := range c.Headers {
		f := header{field: field{name: http.CanonicalHeaderKey(h.Name)}, claim: h.Claim}
		if h.Claim == "" {
			f.value = secrets[h.Secret]
			if !sendable(f.value.Reveal()) {
				return nil, fmt.Errorf("header %s: the secret %q is missing, or is not one line of printable ASCII", h.Name, h.Secret)
			}
		}
		made = append(made, f)
	}
	return made, nil
}

// maxHeader is the longest value that a header is given, in bytes.
const maxHeader = 8 << 10

// sendable tells whether a text can be a header's value as it stands (RFC 9110, section 5.5).
func sendable(v string) bool {
	if v == "" || len(v) > maxHeader || v[0] == ' ' || v[len(v)-1] == ' ' {
		return false
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}

// claims are the headers with claims. A server that trusts them must not be asked without: it would take the caller for
// nobody, or for everybody.
func (e *Exchanger) claims(subject secret.Text) ([]field, error) {
	var fields []field
	for _, h := range e.headers {
		if h.claim == "" {
			continue
		}
		v, err := identity.Claim(subject.Reveal(), h.claim)
		if err == nil && !sendable(v) {
			err = errors.New("it is empty, or holds what no header can")
		}
		if err != nil {
			return nil, noClaim(h.claim, err)
		}
		fields = append(fields, field{h.name, secret.New(v)})
	}
	return fields, nil
}
