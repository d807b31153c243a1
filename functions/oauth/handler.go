package main

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"mcpgateway/functions/oauth/account"
	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/page"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/store"
)

// server is the authorization server. It is an http.Handler, to be served at its URL.
type server struct {
	url       string // its issuer identifier, an origin
	host      string
	providers string // the issuer where people sign in
	provider  *provider.Provider
	clients   *client.Clients
	grants    *grant.Grants
	keys      *token.Keys
	accounts  *account.Accounts
	sealer    *seal.Sealer
	store     store.Store
	documents atomic.Pointer[documents.Version] // in force
	view      atomic.Pointer[view]              // made of them
	shared    map[string]*identity.Verifier     // by client: of tokens with an audience that all servers share
	asserted  *identity.Verifier                // of the provider's ID-JAGs
	register  *rate.Limiter
	log       *slog.Logger
	now       func() time.Time
	mux       *http.ServeMux
}

// view is what is made of a version of the documents.
type view struct {
	callers   *identity.Verifier // of tokens of other issuers' that the gateway takes
	admission *policy.Admission
}

// Bounds of a request.
const (
	maxForm = 64 << 10 // bytes
	maxURL  = 16 << 10
)

// routes lists every path. Those that programs in a browser ask are open to all origins: what they give depends on what is
// sent and on no cookie.
func (s *server) routes() {
	s.mux = http.NewServeMux()
	for _, document := range []string{"oauth-authorization-server", "openid-configuration"} {
		s.open("GET", "/.well-known/"+document, s.serveMetadata)
		s.open("GET", "/.well-known/"+document+"/{path...}", s.serveMetadata)
	}
	s.open("GET", "/mcp-connect/{id}/.well-known/openid-configuration", s.serveMetadata)
	s.open("GET", "/jwks", s.serveKeys)
	s.open("POST", "/token", s.serveToken)
	s.open("POST", "/revoke", s.serveRevoke)
	s.open("POST", "/introspect", s.serveIntrospect)
	s.open("POST", "/register", s.serveRegister)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		s.mux.HandleFunc(method+" /register/{id}", s.manageClient)
	}
	s.mux.HandleFunc("GET /authorize", s.serveAuthorize)
	s.mux.HandleFunc("GET /authorize/mcp-connect/{id}", s.serveAuthorize)
	s.mux.HandleFunc("GET "+callbackPath, s.serveCallback)
	s.mux.HandleFunc("POST /consent", s.serveConsent)
	s.mux.HandleFunc("GET "+keysPath, s.showKeys)
	s.mux.HandleFunc("POST "+keysPath, s.makeKey)
	s.mux.HandleFunc("POST "+keysPath+"/revoke", s.revokeKey)
	s.mux.HandleFunc("GET "+accountsPath, s.showAccounts)
	s.mux.HandleFunc("POST "+accountsPath+"/remove", s.removeAccount)
	s.mux.HandleFunc("GET /connect/{server}", s.showConnect)
	s.mux.HandleFunc("GET /connect/{server}/go", s.leaveToConnect)
	s.mux.HandleFunc("GET /connect/{server}/skip", s.skipConnect)
	s.mux.HandleFunc("GET /connect/{server}/callback", s.serveConnected)
	s.open("GET", "/connect/{server}/client.json", s.serveClientDocument)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, map[string]bool{"ok": true}) })
}

// open serves a path to pages of every origin too (Fetch standard, CORS protocol).
func (s *server) open(method, path string, handle http.HandlerFunc) {
	s.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		handle(w, r)
	})
	s.mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", method)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, MCP-Protocol-Version")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	})
}

// ServeHTTP implements http.Handler. The Host must be ours: else a page whose name is made to point to us (DNS rebinding)
// would share our origin's rights with its own.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page.Protect(w.Header(), "'none'")
	w.Header().Del("Cache-Control") // each answer says for itself
	if !strings.EqualFold(r.Host, s.host) || len(r.RequestURI) > maxURL {
		s.write(w, &failure{status: http.StatusMisdirectedRequest, code: "invalid_request", text: "this is " + s.url})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	s.mux.ServeHTTP(w, r)
}

// serveMetadata answers with one document for RFC 8414 section 2 and OpenID Connect Discovery section 3, wherever a client
// looks. What OpenID clients need in it is there too, though no ID tokens are given.
//
// At the path of one server it names an authorization endpoint of that server's, for clients that send no resource.
func (s *server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	authorize := s.url + "/authorize"
	path := r.PathValue("path")
	if id := r.PathValue("id"); id != "" {
		path = "mcp-connect/" + id
	}
	if path != "" {
		if _, ok := s.resourceAt("/" + path); !ok {
			s.write(w, &failure{status: http.StatusNotFound, code: "not_found", text: "there is no such document"})
			return
		}
		authorize += "/" + path
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                           s.url,
		"authorization_endpoint":                           authorize,
		"token_endpoint":                                   s.url + "/token",
		"registration_endpoint":                            s.url + "/register",
		"revocation_endpoint":                              s.url + "/revoke",
		"introspection_endpoint":                           s.url + "/introspect",
		"jwks_uri":                                         s.url + "/jwks",
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query"},
		"grant_types_supported":                            client.Grants(),
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            client.AuthMethods(),
		"token_endpoint_auth_signing_alg_values_supported": assertionAlgorithms(),
		"revocation_endpoint_auth_methods_supported":       client.AuthMethods(),
		"introspection_endpoint_auth_methods_supported":    client.AuthMethods()[1:],
		"authorization_grant_profiles_supported":           []string{"urn:ietf:params:oauth:grant-profile:id-jag"},
		"scopes_supported":                                 []string{scopeMCP, scopeOffline},
		"authorization_response_iss_parameter_supported":   true,
		"client_id_metadata_document_supported":            true,
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            []string{"ES256"},
	})
}

func (s *server) serveKeys(w http.ResponseWriter, r *http.Request) {
	set, err := s.keys.Set(r.Context())
	if err != nil {
		s.write(w, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	writeJSON(w, http.StatusOK, set)
}

func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Host
}
