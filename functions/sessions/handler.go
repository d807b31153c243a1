package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/command"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/servertoken"
	"mcpgateway/internal/store"
)

// path is below which records are, each by its name.
const path = "/sessions/"

// again is when to ask again what could not be answered.
const again = 2 * time.Second

// server keeps records. It is an http.Handler.
type server struct {
	store  store.Store
	tokens servertoken.Key
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
	case !strings.HasPrefix(r.URL.Path, path):
		return &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeInvalidRequest, Message: "Nothing is here; records are below " + path}
	}
	id, err := s.tokens.Shown(r)
	if err != nil {
		return err
	}
	key, err := readKey(id, strings.TrimPrefix(r.URL.Path, path))
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet:
		return s.get(w, r, key)
	case http.MethodPut:
		return s.put(w, r, key)
	}
	return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Message: "Shims GET records and PUT them",
		Header: http.Header{"Allow": {"GET, PUT"}}}
}

// get is the path of a record that a shim which is new asks for. One that is not there was never written, or has expired.
func (s *server) get(w http.ResponseWriter, r *http.Request, key store.Key) error {
	item, err := s.store.Get(r.Context(), key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		w.WriteHeader(http.StatusNotFound)
		return nil
	case err != nil:
		return unavailable(err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", entityTag(item.Version))
	_, _ = w.Write(item.Value) // whoever asked has gone
	return nil
}

// put is the path of a record that a shim changed. It says which version it knows (RFC 9110, section 13.1), so that of two
// shims that change a session at once the second reads first what the other did.
func (s *server) put(w http.ResponseWriter, r *http.Request, key store.Key) error {
	item, err := readRecord(r, key, s.now())
	if err != nil {
		return err
	}
	item, err = s.store.Put(r.Context(), item)
	switch {
	case errors.Is(err, store.ErrConflict):
		return &mcp.Error{Status: http.StatusPreconditionFailed, Code: mcp.CodeRefused, Message: "The record has changed meanwhile; read it first"}
	case err != nil:
		return unavailable(err)
	}
	w.Header().Set("Etag", entityTag(item.Version))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func unavailable(cause error) error {
	return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: again, Cause: cause,
		Message: "The records cannot be reached now; try again"}
}
