package main

import (
	"net/http"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
)

// serveLists is the path of what a server's shim leaves before it goes to sleep, and the gateway reads meanwhile. It is here
// because shims come here already, each with a token of its own, and the gateway, which faces the internet, may write nothing.
// What is left is sealed: here nobody can read it, and nobody else can make it.
func (s *server) serveLists(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodPut:
		return s.leaveLists(w, r)
	case http.MethodGet:
		return s.readLists(w, r)
	}
	return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Message: "Shims PUT lists, and the gateway GETs them",
		Header: http.Header{"Allow": {"GET, PUT"}}}
}

// leaveLists keeps what a shim brings, for whoever shows what the shim said.
func (s *server) leaveLists(w http.ResponseWriter, r *http.Request) error {
	id, err := s.tokens.Shown(r)
	if err != nil {
		return err
	}
	left, err := lists.ReadLeft(r)
	if err != nil {
		return &mcp.Error{Status: http.StatusUnprocessableEntity, Code: mcp.CodeInvalidRequest, Message: "These are no lists: " + err.Error()}
	}
	if err := s.shelf.Leave(r.Context(), id, left); err != nil {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Message: "The lists are not kept; try again", RetryAfter: again, Cause: err}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readLists gives them to who shows that. That there are none, and that they are for another, is one answer.
func (s *server) readLists(w http.ResponseWriter, r *http.Request) error {
	shown, _ := identity.Bearer(r.Header)
	id := r.URL.Query().Get(lists.ServerParameter)
	none := &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeRefused, Message: "No lists of this server are here for you"}
	if !catalog.ValidID(id) || shown == "" {
		return none
	}
	left, err := s.shelf.Left(r.Context(), id)
	if err != nil {
		return &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, Message: "The lists cannot be read now; try again", RetryAfter: again, Cause: err}
	}
	sealed, ok := lists.ForReader(left, shown)
	if !ok {
		return none
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(sealed)
	return nil
}
