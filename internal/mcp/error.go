package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Error is an answer of our own in place of the server's: an HTTP status and a JSON-RPC error. The zero Code is
// CodeInternal. Message goes to the caller and says what to do next; Cause goes to the log only.
type Error struct {
	Status     int
	Code       int
	Message    string
	Cause      error
	RetryAfter time.Duration // sent in whole seconds, rounded up; none where 0
	ID         Token         // the request's id; "null" where it is unknown
	Header     http.Header   // further headers, such as WWW-Authenticate
	Batch      []Token       // the ids of a batch's requests: each gets the error, in one array
	Elicit     *Elicitation  // what leads the person to a page, with Code or as a result; see Elicitation
	Anonymous  bool          // leave the request's id out of the body, where two answers must not differ by a byte
}

// StatusClientLeft stands in logs and records where there was nobody to answer any more (nginx's 499).
const StatusClientLeft = 499

// AsError returns the Error in err's chain, or one that hides err behind a general sentence.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Status: http.StatusInternalServerError, Message: "Internal error", Cause: err}
}

// NotAdmitted is the one answer to everyone who may not use a server: the gateway's and the shim's are the same, byte
// for byte, whether the server exists or not.
func NotAdmitted(cause error) *Error {
	return &Error{Status: http.StatusForbidden, Code: CodeRefused, Anonymous: true, Cause: cause,
		Message: "You may not use this server, or it does not exist; ask whoever runs this gateway"}
}

// Error implements error, with the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%d %s: %v", e.Status, e.Message, e.Cause)
	}
	return fmt.Sprintf("%d %s", e.Status, e.Message)
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Cause }

// Write sends the error. A legacy client that gets a bare 400, 404 or 405 takes the server for one of another era,
// so the body is always JSON-RPC (MCP 2026-07-28, transports, "backwards compatibility").
func (e *Error) Write(w http.ResponseWriter, requestID string) { e.WriteBody(w, e.Body(requestID)) }

// WriteBody sends the error with another JSON body, for what is no MCP endpoint.
func (e *Error) WriteBody(w http.ResponseWriter, body []byte) {
	h := w.Header()
	for name, values := range e.Header {
		h[name] = values
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that left needs no answer
}

// Body is the JSON-RPC error message, or the array of them.
func (e *Error) Body(requestID string) []byte {
	if e.Batch == nil {
		return e.message(e.ID, requestID)
	}
	out := []byte{'['}
	for i, id := range e.Batch {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e.message(id, requestID)...)
	}
	return append(out, ']')
}

func (e *Error) message(id Token, requestID string) []byte {
	if e.Elicit != nil && e.Code == 0 {
		return e.Elicit.result(id)
	}
	type data struct {
		RequestID    string        `json:"requestId,omitempty"`
		Elicitations []elicitation `json:"elicitations,omitempty"`
	}
	var msg struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    *data  `json:"data,omitempty"`
		} `json:"error"`
	}
	msg.Version = "2.0"
	if msg.ID = json.RawMessage(id); id == nil {
		msg.ID = json.RawMessage("null")
	}
	if msg.Error.Code = e.Code; e.Code == 0 {
		msg.Error.Code = CodeInternal
	}
	msg.Error.Message = e.Message
	if requestID != "" && !e.Anonymous {
		msg.Error.Data = &data{RequestID: requestID}
	}
	if e.Elicit != nil {
		msg.Error.Data = &data{requestID, []elicitation{e.Elicit.params()}}
	}
	out, err := json.Marshal(msg)
	if err != nil { // only an id that is no JSON could do this, and Parse lets none through
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}`)
	}
	return out
}
