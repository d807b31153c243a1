package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/upstream"
)

// failure is an error that a client is told (RFC 6749 section 5.2 and 4.1.2.1).
type failure struct {
	status int
	code   string // "invalid_grant" and so on
	text   string
	cause  error  // for the log; may be nil
	retry  int    // seconds; 0: not said
	basic  bool   // the client tried HTTP Basic, and is challenged
	uri    string // a page for the person (RFC 6749 section 5.2, error_uri); may be empty
}

// told is the text in the characters that a client may be told (RFC 6749 section 5.2): quotation marks and backslashes are none
// of them, and texts repeat what clients sent.
func (f *failure) told() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, f.text)
}

func (f *failure) Error() string { return f.code + ": " + f.text }

func (f *failure) Unwrap() error { return f.cause }

func bad(code, text string) *failure {
	return &failure{status: http.StatusBadRequest, code: code, text: text}
}

// retryAfter is how many seconds a client waits while the provider is down.
const retryAfter = 30

// asFailure is what a client is told of an error. All that is not known is one answer, and an id finds it in the log.
func asFailure(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, grant.ErrInvalid):
		return &failure{status: 400, code: "invalid_grant", text: "the code or token is invalid, expired, used or revoked: sign in again", cause: err}
	case errors.Is(err, grant.ErrTarget):
		return &failure{status: 400, code: "invalid_target", text: "it was granted for another resource", cause: err}
	case errors.Is(err, client.ErrUnknown):
		return &failure{status: 401, code: "invalid_client", text: client.ErrUnknown.Error(), cause: err}
	case errors.Is(err, client.ErrDocument), errors.Is(err, client.ErrKeys):
		return &failure{status: 401, code: "invalid_client", text: err.Error(), cause: err}
	case errors.Is(err, client.ErrMetadata), errors.Is(err, client.ErrRedirect):
		code := client.ErrMetadata.Error()
		if errors.Is(err, client.ErrRedirect) {
			code = client.ErrRedirect.Error()
		}
		return &failure{status: 400, code: code, text: err.Error()[len(code)+2:]}
	case errors.Is(err, provider.ErrRefused), errors.Is(err, provider.ErrGroups):
		return &failure{status: 400, code: "access_denied", text: "the identity provider does not let you sign in", cause: err}
	case errors.Is(err, upstream.ErrRefused):
		return &failure{status: 400, code: "access_denied", text: "the server's sign-in did not take what you brought from there: try again", cause: err}
	case errors.Is(err, upstream.ErrUnavailable):
		return &failure{status: 503, code: "temporarily_unavailable", text: "the sign-in of the server behind cannot be used now: try again", cause: err, retry: retryAfter}
	case errors.Is(err, provider.ErrUnavailable):
		return &failure{status: 503, code: "temporarily_unavailable", text: provider.ErrUnavailable.Error(), cause: err, retry: retryAfter}
	}
	return &failure{status: 503, code: "temporarily_unavailable", text: "this cannot be answered now: try again", cause: err, retry: retryAfter}
}

// write answers with the failure as JSON, and logs it.
func (s *server) write(w http.ResponseWriter, err error) {
	f := asFailure(err)
	id := s.logFailure(f)
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retry))
	}
	if f.status == http.StatusUnauthorized && f.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="oauth"`) // RFC 6749 section 5.2
	}
	body := map[string]string{"error": f.code, "error_description": f.told(), "error_id": id}
	if f.uri != "" {
		body["error_uri"] = f.uri
	}
	writeJSON(w, f.status, body)
}

// logFailure logs what a client or a person is told, with its cause, and returns the id under which it is found.
func (s *server) logFailure(f *failure) string {
	id := rand.Text()[:12]
	s.log.Info("refused", "id", id, "error", f.code, "text", f.text, "cause", f.cause)
	return id
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has gone
}
