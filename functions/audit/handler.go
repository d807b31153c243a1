package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/command"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/servertoken"
)

// path is where records are brought and asked for.
const path = "/audit"

// server keeps records. It is an http.Handler.
type server struct {
	store  store.Store
	shelf  store.Shelf
	tokens servertoken.Key
	view   atomic.Pointer[view] // of the documents in force
	keep   time.Duration
	log    *slog.Logger
	now    func() time.Time
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	command.Answer(w, r, s.log, s.route)
}

func (s *server) route(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.URL.Path == "/healthz":
		w.WriteHeader(http.StatusNoContent)
		return nil
	case r.URL.Path == lists.Path:
		return s.serveLists(w, r)
	case r.URL.Path != path:
		return &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeInvalidRequest, Message: "Nothing is here; records are at " + path}
	case r.Method == http.MethodPost:
		return s.bring(w, r)
	case r.Method == http.MethodGet:
		return s.find(w, r)
	}
	return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Message: "Shims POST records, and auditors GET them",
		Header: http.Header{"Allow": {"GET, POST"}}}
}

// bring is the path of a batch: whose is it, is it whole, keep it. The shim tries again what is answered 503, makes a batch
// smaller that is too large, and gives up what is answered 400 or 422.
func (s *server) bring(w http.ResponseWriter, r *http.Request) error {
	id, err := s.tokens.Shown(r)
	if err != nil {
		return err
	}
	b, err := readBatch(r, id)
	if err != nil {
		return err
	}
	if err := s.store.Add(r.Context(), b); err != nil {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Message: "The records are not kept yet; try again",
			RetryAfter: again, Cause: err}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// again is when a batch is to be brought again.
const again = 2 * time.Second

// answer is a page of records.
type answer struct {
	Records []store.Entry `json:"records"` // the newest first, without headers and bodies
	Next    string        `json:"next,omitempty"`
}

// find is the path of a question: who asks, what for, look.
func (s *server) find(w http.ResponseWriter, r *http.Request) error {
	v := s.view.Load()
	who, err := v.authenticate(r)
	if err != nil {
		return err
	}
	if !v.auditors.Admits(who, auditors) {
		return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused, Message: "Records are read by the groups under audit.store.auditors of the platform file",
			Cause: errors.New(store.User(who.Issuer, who.Subject) + " is in none of them")}
	}
	q, err := readQuery(r.URL.Query(), v.issuer, s.now(), s.keep)
	if err != nil {
		return err
	}
	page, err := s.store.Find(r.Context(), q)
	if err != nil {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Message: "The records cannot be read now; try again", RetryAfter: again, Cause: err}
	}
	s.log.Info("records read", "issuer", who.Issuer, "subject", who.Subject, "query", r.URL.RawQuery, "found", len(page.Entries))
	a := answer{Records: page.Entries, Next: cursor(page.Next)}
	if a.Records == nil {
		a.Records = []store.Entry{}
	}
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
	return nil
}

// authenticate finds out who asks: a token for the gateway itself, as for its list of servers.
func (v *view) authenticate(r *http.Request) (identity.Identity, error) {
	refused := func(err error, text string) error {
		return &mcp.Error{Status: http.StatusUnauthorized, Code: mcp.CodeRefused, Message: text, Cause: err,
			Header: http.Header{"Www-Authenticate": {identity.Challenge("", err)}}}
	}
	token, ok := identity.Bearer(r.Header)
	if !ok {
		return identity.Identity{}, refused(nil, "Sign in: send an access token for "+v.platform.PublicURL+" as Authorization: Bearer")
	}
	who, err := v.verifier.Verify(r.Context(), token, v.platform.Resources(catalog.Gateway))
	switch {
	case errors.Is(err, identity.ErrUnavailable):
		return who, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Cause: err, RetryAfter: again,
			Message: "The identity provider cannot be reached, so tokens cannot be checked; try again"}
	case err != nil:
		return who, refused(err, "The access token was refused: "+err.Error()+"; sign in again")
	}
	return who, nil
}
