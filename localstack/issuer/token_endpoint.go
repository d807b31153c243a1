package issuer

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// GrantType is the grant of the token endpoint (RFC 6749 section 4.5): a token for a user whose name is given, without
// any proof.
const GrantType = "urn:mcpgateway:insecure-user"

const (
	keysPath  = "/keys"
	tokenPath = "/insecure-token"
	tokenTTL  = time.Hour
	maxForm   = 16 << 10 // bytes
)

// TokenURL is the token endpoint: POST of a form with grant_type, user and resource. With "Accept: text/plain" it
// answers with nothing but the token, for use in a shell.
func (i *InsecureIssuer) TokenURL() string { return i.URL() + tokenPath }

// serveToken gives anyone on this machine a token, except web pages, which a browser on this machine may be showing.
func (i *InsecureIssuer) serveToken(w http.ResponseWriter, r *http.Request) {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || !isLoopback(host) {
		writeError(w, http.StatusForbidden, "access_denied", "tokens are for callers on this machine only")
		return
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		writeError(w, http.StatusForbidden, "access_denied", "tokens are not for web pages")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		writeError(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		return
	}
	if r.PostForm.Get("grant_type") != GrantType {
		writeError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be "+GrantType)
		return
	}
	user, resource := r.PostForm.Get("user"), r.PostForm.Get("resource")
	if !slices.ContainsFunc(i.users, func(u User) bool { return u.Name == user }) {
		writeError(w, http.StatusBadRequest, "invalid_grant", "user must be one of "+i.names())
		return
	}
	if u, err := url.Parse(resource); err != nil || u.Host == "" || strings.Contains(resource, "#") || !utf8.ValidString(resource) {
		writeError(w, http.StatusBadRequest, "invalid_target", "resource must be the URL of a server") // RFC 8707 section 2
		return
	}
	token, err := i.Token(user, resource, tokenTTL)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "server_error", "the token cannot be signed")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.Header.Get("Accept") == "text/plain" {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, token)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(tokenTTL.Seconds()),
	})
}

func (i *InsecureIssuer) names() string {
	var names []string
	for _, u := range i.users {
		names = append(names, u.Name)
	}
	return strings.Join(names, ", ")
}

// writeError answers in the form of RFC 6749 section 5.2.
func writeError(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, map[string]string{"error": code, "error_description": text})
}
