// Package authenticate is the shim's first stage: it verifies the caller's token again, because nothing in front of the
// shim is trusted, and turns away everyone but the owner of a per-user instance.
package authenticate

import (
	"errors"
	"net/http"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/call"
)

// Checker says whom the instance serves. Its zero value is a shared instance.
type Checker struct {
	OwnerIssuer  string
	OwnerSubject string
}

// Check finds out who calls and removes the credential from the request, so that no later stage passes it on by
// mistake: who needs it has to ask for it by its name.
func (c Checker) Check(x *call.Exchange) error {
	resource := x.Rules.Rules.Resources[0]
	token, ok := identity.Bearer(x.Request.Header)
	x.Request.Header.Del("Authorization")
	if !ok {
		return unauthenticated(resource, nil)
	}
	who, err := x.Rules.Verifier.Verify(x.Request.Context(), token, x.Rules.Rules.Resources)
	if errors.Is(err, identity.ErrUnavailable) {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: 5 * time.Second,
			Message: "The identity provider cannot be reached, so tokens cannot be checked; try again", Cause: err}
	}
	if err != nil {
		return unauthenticated(resource, err)
	}
	x.Who, x.Token = who, secret.New(token)
	if c.OwnerIssuer != "" && (who.Issuer != c.OwnerIssuer || who.Subject != c.OwnerSubject) {
		return mcp.NotAdmitted(errors.New("the instance belongs to somebody else"))
	}
	if server := x.Rules.Rules.Server; !x.Rules.Policies.Admits(who, server) {
		return mcp.NotAdmitted(errors.New("no policy admits the caller"))
	}
	return nil
}

func unauthenticated(resource string, err error) error {
	e := &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Cause: err,
		Message: "Sign in: send an access token for this server as Authorization: Bearer",
		Header:  http.Header{"Www-Authenticate": {identity.Challenge(identity.MetadataURL(resource), err)}}}
	if err != nil {
		e.Message = "The access token was refused: " + err.Error() + "; sign in again"
	}
	return e
}
