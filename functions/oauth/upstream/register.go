package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/secret"
)

// About is what we say of ourselves: the document at Config.Document (draft-ietf-oauth-client-id-metadata-document), and the
// registration (RFC 7591 section 2).
type About struct {
	ID        string   `json:"client_id,omitempty"` // of the document only
	Name      string   `json:"client_name"`
	Redirects []string `json:"redirect_uris"`
	Grants    []string `json:"grant_types"`
	Responses []string `json:"response_types"`
	Auth      string   `json:"token_endpoint_auth_method"`
	Scope     string   `json:"scope,omitempty"`
}

// Describe is the document. We hold no secret by it: everybody can read it.
func (s *Server) Describe() About {
	a := s.about(client.AuthNone)
	a.ID = s.Document
	return a
}

func (s *Server) about(auth string) About {
	return About{Name: "MCP gateway, for " + s.Server, Redirects: []string{s.Redirect}, Grants: []string{"authorization_code", "refresh_token"},
		Responses: []string{"code"}, Auth: auth}
}

// registered is as whom we come: as the operator said, by our document, or else registered, which happens once.
func (s *Server) registered(ctx context.Context, m *Metadata) (Client, error) {
	switch {
	case s.Client != nil:
		return *s.Client, nil
	case m.Documents && strings.HasPrefix(s.Document, "https://"):
		return Client{ID: s.Document, Auth: client.AuthNone}, nil
	}
	c, have, err := s.Registrations.Find(ctx, s.Server, m.Issuer)
	if err != nil || have {
		return c, err
	}
	if m.Register == "" {
		return c, fmt.Errorf("%w: it knows neither client id metadata documents nor registration: register us there, and write the client as account.client", ErrUnavailable)
	}
	c, ends, err := s.register(ctx, m)
	if err != nil {
		return c, err
	}
	return s.Registrations.Keep(ctx, s.Server, m.Issuer, c, ends)
}

// register registers us (RFC 7591 section 3.1), with a secret where that is possible.
func (s *Server) register(ctx context.Context, m *Metadata) (Client, time.Time, error) {
	auth := client.AuthNone
	for _, method := range []string{client.AuthPost, client.AuthBasic} {
		if len(m.Auth) == 0 || slices.Contains(m.Auth, method) { // RFC 8414 section 2: Basic is the default
			auth = method
		}
	}
	about := s.about(auth)
	about.Scope = strings.Join(m.asked, " ")
	body, err := json.Marshal(about)
	if err != nil {
		return Client{}, time.Time{}, err
	}
	a, err := s.post(ctx, m.Register, "application/json", string(body), nil)
	if err != nil {
		return Client{}, time.Time{}, err
	}
	if a.status != http.StatusCreated && a.status != http.StatusOK {
		return Client{}, time.Time{}, fmt.Errorf("%w: registration: %w", ErrUnavailable, readError(a))
	}
	c, ends, err := parseRegistration(a.body, auth)
	if err != nil {
		err = fmt.Errorf("%w: registration: %w", ErrUnavailable, err)
	}
	return c, ends, err
}

// parseRegistration reads the answer (RFC 7591 section 3.2.1), which may have another method than the one that was asked for.
func parseRegistration(body []byte, asked string) (c Client, ends time.Time, err error) {
	var r struct {
		ID      string `json:"client_id"`
		Secret  string `json:"client_secret"`
		Auth    string `json:"token_endpoint_auth_method"`
		Expires int64  `json:"client_secret_expires_at"`
	}
	if err := parseObject(body, &r); err != nil {
		return c, ends, err
	}
	if r.Auth == "" {
		r.Auth = asked
	}
	if r.Expires > 0 {
		ends = time.Unix(r.Expires, 0)
	}
	switch {
	case !sendable(r.ID, maxAddress) || r.ID == "" || !sendable(r.Secret, maxAddress):
		return c, ends, errors.New("client_id or client_secret is missing, too long, or no printable text")
	case r.Auth != client.AuthNone && r.Auth != client.AuthBasic && r.Auth != client.AuthPost, r.Auth != client.AuthNone && r.Secret == "":
		return c, ends, errors.New("token_endpoint_auth_method is none that we know, or there is no client_secret for it")
	}
	c = Client{ID: r.ID, Auth: r.Auth}
	if r.Auth != client.AuthNone {
		c.Secret = secret.New(r.Secret)
	}
	return c, ends, nil
}

// sendable tells whether a text has at most so many bytes, all of them printable ASCII (RFC 6749 appendix A).
func sendable(text string, most int) bool {
	return len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || r < ' ' || r == 0x7f })
}
