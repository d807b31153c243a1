package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	// The decoder of go-jose refuses duplicate names and compares names exactly; encoding/json does neither.
	strictjson "github.com/go-jose/go-jose/v4/json"
)

// resource is the metadata of a protected resource, as far as we go by it (RFC 9728 section 2).
type resource struct {
	Resource string   `json:"resource"`
	Servers  []string `json:"authorization_servers"`
	Scopes   []string `json:"scopes_supported"`
}

// Metadata is that of an authorization server, as far as we go by it (RFC 8414 section 2).
type Metadata struct {
	Issuer     string   `json:"issuer"`
	Authorize  string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	Register   string   `json:"registration_endpoint"`
	Revoke     string   `json:"revocation_endpoint"`
	Challenges []string `json:"code_challenge_methods_supported"`
	Auth       []string `json:"token_endpoint_auth_methods_supported"`
	Scopes     []string `json:"scopes_supported"`
	Documents  bool     `json:"client_id_metadata_document_supported"`
	Named      bool     `json:"authorization_response_iss_parameter_supported"`
	asked      []string // the scopes to ask for
}

const maxScopes, maxScope = 100, 128

// scopeForm is a scope-token of RFC 6749 section 3.3.
var scopeForm = regexp.MustCompile(`^[!#-\[\]-~]+$`)

var errNoObject = errors.New("it is no JSON object in UTF-8 with each name once")

func parseObject(body []byte, into any) error {
	if !utf8.Valid(body) || !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) || strictjson.Unmarshal(body, into) != nil {
		return errNoObject
	}
	return nil
}

// parseResource reads a resource's metadata, which must be that of the resource byte for byte: else a server could have us ask
// for tokens that are for another one (RFC 9728 section 3.3).
func (s *Server) parseResource(body []byte) (r resource, err error) {
	if err := parseObject(body, &r); err != nil {
		return r, err
	}
	if r.Resource != s.Resource {
		return r, fmt.Errorf("it is about %.200q: if that is the server, write it as account.resource", r.Resource)
	}
	if s.Issuer == "" && len(r.Servers) == 0 {
		return r, errors.New("it names no authorization server: write it as account.issuer")
	}
	return r, nil
}

// parseMetadata reads an authorization server's metadata, which must be of the one that was asked for (RFC 8414 section 3.3).
func (s *Server) parseMetadata(issuer string, body []byte) (*Metadata, error) {
	var m Metadata
	if err := parseObject(body, &m); err != nil {
		return nil, err
	}
	if m.Issuer != issuer {
		return nil, fmt.Errorf("it is another authorization server's: %.200q", m.Issuer)
	}
	for _, address := range []string{m.Authorize, m.Token} {
		if err := s.checkAddress(address); err != nil {
			return nil, fmt.Errorf("authorization_endpoint, token_endpoint: %w", err)
		}
	}
	for _, address := range []*string{&m.Register, &m.Revoke} {
		if s.checkAddress(*address) != nil {
			*address = "" // it is not offered
		}
	}
	if !slices.Contains(m.Challenges, "S256") { // MCP 2025-11-25: refuse to go on
		return nil, errors.New("it does not say that it knows PKCE by S256")
	}
	return &m, nil
}

// metadataAddresses are where an issuer's metadata may be, in the order of MCP 2025-11-25, "Authorization Server Metadata
// Discovery".
func metadataAddresses(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	origin, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	list := []string{origin + "/.well-known/oauth-authorization-server" + path, origin + "/.well-known/openid-configuration" + path}
	if path != "" {
		list = append(list, origin+path+"/.well-known/openid-configuration")
	}
	return list
}

// resourceAddresses are where a resource's metadata may be, where nobody says it (RFC 9728 section 3.1).
func resourceAddresses(resource string) []string {
	u, err := url.Parse(resource)
	if err != nil {
		return nil
	}
	root := u.Scheme + "://" + u.Host + "/.well-known/oauth-protected-resource"
	path := u.EscapedPath()
	if path == "" || path == "/" {
		return []string{root}
	}
	return []string{root + path, root}
}

// wanted are the scopes to ask for: the operator's, or else those that the server's challenge names, or else all that it knows
// (MCP 2025-11-25, "Scope Selection Strategy"). Without offline_access some give no refresh token.
func (s *Server) wanted(m *Metadata, challenged string, r resource) []string {
	scopes := s.Scopes
	if len(scopes) == 0 {
		scopes = strings.Fields(challenged)
	}
	if len(scopes) == 0 {
		scopes = r.Scopes
	}
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(v string) bool { return len(v) > maxScope || !scopeForm.MatchString(v) })
	if scopes = scopes[:min(len(scopes), maxScopes)]; slices.Contains(m.Scopes, offline) && !slices.Contains(scopes, offline) {
		scopes = append(scopes, offline)
	}
	return scopes
}

const offline = "offline_access"
