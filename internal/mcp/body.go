package mcp

import (
	"bytes"
	"io"
	"net/http"
)

// MaxBody bounds a request's body, in bytes: what a Lambda can take.
const MaxBody = 6 << 20

// trusted is how much of an announced body memory is taken for before it is there.
const trusted = 64 << 10

// ReadBody reads a request's body whole. Every error is an *Error: 413 for one over MaxBody, 408 for one that does not
// arrive.
func ReadBody(r *http.Request) ([]byte, error) {
	long := &Error{Status: http.StatusRequestEntityTooLarge, Code: CodeInvalidRequest, Message: "The body is larger than 6 MiB"}
	if r.ContentLength > MaxBody {
		return nil, long
	}
	body := bytes.NewBuffer(make([]byte, 0, max(0, min(r.ContentLength, trusted))+bytes.MinRead))
	if _, err := body.ReadFrom(io.LimitReader(r.Body, MaxBody+1)); err != nil {
		return nil, &Error{Status: http.StatusRequestTimeout, Code: CodeInvalidRequest, Message: "The body did not arrive whole", Cause: err}
	}
	if body.Len() > MaxBody {
		return nil, long
	}
	return body.Bytes(), nil
}
