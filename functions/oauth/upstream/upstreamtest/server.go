// Package upstreamtest is a fake of an MCP server of somebody else's with its authorization server, for tests: strict about what it
// is sent, and as broken as a test has it. Real ones are in the end-to-end tests.
package upstreamtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/functions/oauth/seal"
	"mcpgateway/internal/egress"
)

// Server is both, at one origin. Its exported fields may be changed under Lock.
type Server struct {
	sync.Mutex
	URL, Resource string
	Person        string                                            // who signs in
	Life          time.Duration                                     // of access tokens; what is said, and nothing ends by itself
	Edit          func(document string, m map[string]any)           // of what it says of itself
	Before        func(w http.ResponseWriter, r *http.Request) bool // tells whether it has answered
	Count         map[string]int                                    // requests by path
	Deny          bool                                              // people at the sign-in
	Fixed         bool                                              // a refresh token is not replaced

	t       *testing.T
	clients map[string]string // secret by id
	codes   map[string]url.Values
	access  map[string]string // person by token
	refresh map[string]string // client and person by token
}

// Start starts one, which is stopped with the test.
func Start(t *testing.T) *Server {
	t.Helper()
	s := &Server{t: t, Person: "alice at notes", Life: time.Hour, Count: map[string]int{}, clients: map[string]string{}, codes: map[string]url.Values{},
		access: map[string]string{}, refresh: map[string]string{}}
	at := httptest.NewServer(s)
	t.Cleanup(at.Close)
	s.URL, s.Resource = at.URL, at.URL+"/mcp"
	return s
}

// Egress are rules with which it is reached.
func (s *Server) Egress() []egress.Rule {
	rules, err := egress.Parse("127.0.0.1/32 " + s.URL[strings.LastIndex(s.URL, ":")+1:])
	if err != nil {
		s.t.Fatal(err)
	}
	return rules
}

// AddClient registers a client by hand.
func (s *Server) AddClient(id, secret string) {
	s.Lock()
	defer s.Unlock()
	s.clients[id] = secret
}

// ForgetClients forgets all that are registered.
func (s *Server) ForgetClients() {
	s.Lock()
	defer s.Unlock()
	clear(s.clients)
}

// Counted is how often a path was asked for.
func (s *Server) Counted(path string) int {
	s.Lock()
	defer s.Unlock()
	return s.Count[path]
}

// Knows tells whose an access token is.
func (s *Server) Knows(token string) (person string, good bool) {
	s.Lock()
	defer s.Unlock()
	person, good = s.access[token]
	return person, good
}

// EndAll ends all tokens of every person.
func (s *Server) EndAll() {
	s.Lock()
	defer s.Unlock()
	clear(s.access)
	clear(s.refresh)
}

// EndAccess ends all access tokens, which can be renewed.
func (s *Server) EndAccess() {
	s.Lock()
	defer s.Unlock()
	clear(s.access)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	s.Count[r.URL.Path]++
	before := s.Before
	s.Unlock()
	if before != nil && before(w, r) {
		return
	}
	s.Lock()
	defer s.Unlock()
	if err := r.ParseForm(); err != nil {
		s.refuse(w, 400, "invalid_request")
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /mcp", "GET /mcp":
		s.serveMCP(w, r)
	case "GET /.well-known/oauth-protected-resource/mcp":
		s.write(w, 200, "resource", map[string]any{"resource": s.Resource, "authorization_servers": []string{s.URL}, "scopes_supported": []string{"notes"}})
	case "GET /.well-known/oauth-authorization-server":
		s.write(w, 200, "issuer", map[string]any{"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token",
			"registration_endpoint": s.URL + "/register", "revocation_endpoint": s.URL + "/revoke", "code_challenge_methods_supported": []string{"S256"},
			"authorization_response_iss_parameter_supported": true, "scopes_supported": []string{"notes", "offline_access"}})
	case "POST /register":
		s.register(w, r)
	case "GET /authorize":
		s.authorize(w, r)
	case "POST /token":
		s.token(w, r)
	case "POST /revoke":
		s.revoke(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) write(w http.ResponseWriter, status int, document string, m map[string]any) {
	if s.Edit != nil {
		s.Edit(document, m)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(m)
}

func (s *Server) refuse(w http.ResponseWriter, status int, code string) {
	s.write(w, status, "error", map[string]any{"error": code})
}

func (s *Server) serveMCP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	person, good := s.access[token]
	if !good {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+s.URL+`/.well-known/oauth-protected-resource/mcp", scope="notes"`)
		s.refuse(w, 401, "invalid_token")
		return
	}
	s.write(w, 200, "mcp", map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{"content": []any{map[string]any{"type": "text", "text": person}}}})
}

func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Redirects []string `json:"redirect_uris"`
		Auth      string   `json:"token_endpoint_auth_method"`
	}
	if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&m) != nil || len(m.Redirects) != 1 || m.Auth == "" {
		s.refuse(w, 400, "invalid_client_metadata")
		return
	}
	id, secret := seal.Random(), seal.Random()+"%+ ~"
	s.clients[id] = secret
	s.write(w, 201, "registration", map[string]any{"client_id": id, "client_secret": secret, "client_secret_expires_at": 0, "token_endpoint_auth_method": m.Auth,
		"redirect_uris": m.Redirects})
}

// authorize lets everybody on who is as MCP asks: with PKCE and resource.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if _, known := s.clients[q.Get("client_id")]; !known || q.Get("response_type") != "code" || len(q.Get("code_challenge")) != 43 ||
		q.Get("code_challenge_method") != "S256" || q.Get("resource") != s.Resource || q.Get("state") == "" || !slices.Contains(strings.Fields(q.Get("scope")), "notes") {
		s.refuse(w, 400, "invalid_request")
		return
	}
	code := seal.Random()
	s.codes[code] = q
	back := url.Values{"state": {q.Get("state")}, "iss": {s.URL}, "code": {code}}
	if s.Deny {
		back = url.Values{"state": {q.Get("state")}, "iss": {s.URL}, "error": {"access_denied"}}
	}
	w.Header().Set("Location", q.Get("redirect_uri")+"?"+back.Encode())
	w.WriteHeader(http.StatusFound)
}

// client is who asks, by HTTP Basic.
func (s *Server) client(r *http.Request) string {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if want, known := s.clients[id]; !known || want != secret {
		return ""
	}
	return id
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	client, form := s.client(r), r.PostForm
	if client == "" {
		s.refuse(w, 401, "invalid_client")
		return
	}
	person := s.Person
	switch form.Get("grant_type") {
	case "authorization_code":
		q := s.codes[form.Get("code")]
		delete(s.codes, form.Get("code"))
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if q.Get("client_id") != client || q.Get("redirect_uri") != form.Get("redirect_uri") || form.Get("resource") != s.Resource ||
			q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
			s.refuse(w, 400, "invalid_grant")
			return
		}
	case "refresh_token":
		owner, good := strings.CutPrefix(s.refresh[form.Get("refresh_token")], client+" ")
		if !good || form.Get("resource") != s.Resource {
			s.refuse(w, 400, "invalid_grant")
			return
		}
		person = owner
	default:
		s.refuse(w, 400, "unsupported_grant_type")
		return
	}
	access, refresh := "at-"+seal.Random(), "rt-"+seal.Random()
	s.access[access] = person
	m := map[string]any{"access_token": access, "token_type": "bearer", "expires_in": int(s.Life.Seconds())}
	if !s.Fixed || form.Get("grant_type") == "authorization_code" {
		delete(s.refresh, form.Get("refresh_token"))
		s.refresh[refresh] = client + " " + person
		m["refresh_token"] = refresh
	}
	s.write(w, 200, "tokens", m)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	if s.client(r) == "" {
		s.refuse(w, 401, "invalid_client")
		return
	}
	token := r.PostForm.Get("token")
	_, person, _ := strings.Cut(s.refresh[token], " ")
	delete(s.refresh, token)
	for access, owner := range s.access {
		if owner == person || access == token {
			delete(s.access, access)
		}
	}
	w.WriteHeader(http.StatusOK)
}
