package deploy

import (
	"errors"
	"log/slog"
	"time"
)

// Code says why there is no instance.
type Code string

// The codes, with the HTTP status that the gateway answers.
const (
	CodeUnavailable Code = "unavailable" // 503: it cannot be started now
	CodeTimeout     Code = "timeout"     // 504: it was not ready within its startup time
	CodeLimit       Code = "limit"       // 429: as many instances are up as the entry allows
	CodeUnknown     Code = "unknown"     // the catalog does not have the server
)

// StartError is why there is no instance. Its text is the public sentence; the cause is for logs only.
type StartError struct {
	Code       Code
	Message    string        // a sentence that any caller may read
	RetryAfter time.Duration // when asking again makes sense; 0 where it is not known
	Cause      error         // what the operator must know; never shown to callers
}

// Error implements error, with the public sentence.
func (e *StartError) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Cause }

// cannotStart is for whoever needs not know more.
const cannotStart = "The server cannot be started now."

// AsStartError returns the StartError in err's chain, or one that hides err behind a general sentence.
func AsStartError(err error) *StartError {
	if e, ok := errors.AsType[*StartError](err); ok {
		return e
	}
	return &StartError{Code: CodeUnavailable, Message: cannotStart, RetryAfter: time.Second, Cause: err}
}

// Refuse logs why the instance of key was not started, once for all who wait for it, and returns e for them. A code that was
// left out is CodeUnavailable, and a message that was is the general sentence.
func Refuse(log *slog.Logger, key Key, e StartError) error {
	if e.Code == "" {
		e.Code = CodeUnavailable
	}
	if e.Message == "" {
		e.Message = cannotStart
	}
	log.Error("not started", "server", key.Server, "owner", key.Owner, "code", e.Code, "error", e.Cause)
	return &e
}
