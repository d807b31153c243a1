package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
)

func unauthenticated(resource string, err error) error {
	e := &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Cause: err,
		Message: "Sign in: send an access token for " + resource + " as Authorization: Bearer",
		Header:  http.Header{"Www-Authenticate": {identity.Challenge(identity.MetadataURL(resource), err)}}}
	if err != nil {
		e.Message = "The access token was refused: " + err.Error() + "; sign in again"
	}
	return e
}

// keyError is for a caller with an API key.
func keyError(resource string, err error) error {
	var refused keyRefused
	if !errors.As(err, &refused) {
		return unavailable("The authorization server cannot be reached, so API keys cannot be checked; try again", err)
	}
	return &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Cause: err, Message: "The API key was refused: " + string(refused),
		Header: http.Header{"Www-Authenticate": {identity.Challenge(identity.MetadataURL(resource), err)}}}
}

func notFound() error {
	return &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeInvalidRequest,
		Message: "Nothing is here; servers are at /mcp-connect/{id}, or /mcp at a host of their own, and listed at /v0.1/servers"}
}

// retryLater is when asking again makes sense where nobody knows better.
const retryLater = 5 * time.Second

func unavailable(message string, cause error) error {
	return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: retryLater,
		Message: message, Cause: cause}
}

func tooMany(message string, retry time.Duration) error {
	return &mcp.Error{Status: http.StatusTooManyRequests, Code: mcp.CodeUnavailable, RetryAfter: retry, Message: message}
}

// brokeOff is the error of a call that got no answer.
func (c *call) brokeOff(err error) error {
	e := &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: err,
		Message: "The MCP server ended the connection without an answer; the call may have run"}
	var stranger *strangerError
	var hindered *deploy.StartError
	switch {
	case c.r.Context().Err() != nil:
		e.Status, e.Message = mcp.StatusClientLeft, "The client left"
	case errors.As(err, &stranger):
		return stranger.public()
	case errors.As(err, &hindered):
		return startError(hindered)
	case errors.Is(err, errNotStarted):
		e := tooLate(err)
		e.Message, e.RetryAfter = "The MCP server did not start in time; try again", retryLater
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return tooLate(err)
	case nothingSent(err):
		return unavailable("The MCP server stopped just after it started; try again", err)
	}
	return e
}

func tooLate(cause error) *mcp.Error {
	return &mcp.Error{Status: http.StatusGatewayTimeout, Code: mcp.CodeUnavailable, Message: "The MCP server did not answer in time", Cause: cause}
}

// startError is what the caller learns of a server that does not run. Why is in the deployer's log.
func startError(err error) error {
	var s *deploy.StartError
	switch {
	case !errors.As(err, &s):
		return unavailable("The MCP server cannot be started now; try again", err)
	case s.Code == deploy.CodeUnknown:
		return mcp.NotAdmitted(nil) // the deployer's catalog is newer than ours
	}
	e := &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: s.RetryAfter, Message: s.Message, Cause: err}
	switch s.Code {
	case deploy.CodeTimeout:
		e.Status = http.StatusGatewayTimeout
	case deploy.CodeLimit:
		e.Status = http.StatusTooManyRequests
	}
	if e.RetryAfter == 0 {
		e.RetryAfter = retryLater
	}
	return e
}
