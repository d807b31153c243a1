package main

import (
	"errors"
	"io"
	"net/http"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/internal/identity"
)

// Registrations that strangers may make. A person pastes a URL now and then; a flood is somebody else's.
const (
	registerRate  = 5 // a second
	registerBurst = 50
)

// serveRegister registers a client (RFC 7591 section 3).
func (s *server) serveRegister(w http.ResponseWriter, r *http.Request) {
	if !s.register.Allow() {
		s.write(w, &failure{status: http.StatusTooManyRequests, code: "temporarily_unavailable", text: "too many clients register now", retry: 5})
		return
	}
	m, err := readMetadata(r)
	var made client.Registration
	if err == nil {
		made, err = s.clients.Registered.Register(r.Context(), m)
	}
	if err != nil {
		s.write(w, err)
		return
	}
	s.log.Info("registered", "client", made.ID, "name", made.Name)
	made.ManagedAt = s.url + "/register/" + made.ID
	writeJSON(w, http.StatusCreated, made)
}

func readMetadata(r *http.Request) (client.Metadata, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return client.Metadata{}, bad("invalid_client_metadata", "the body is longer than 64 KiB, or broke off")
	}
	return client.ParseMetadata(data)
}

// manageClient lets a client read, replace or remove its registration (RFC 7592 section 2), by the token that it got.
func (s *server) manageClient(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	token, ok := identity.Bearer(r.Header)
	var err error
	if !ok {
		err = client.ErrUnknown
	}
	var m *client.Metadata
	if err == nil && r.Method == http.MethodPut {
		var read client.Metadata
		if read, err = readMetadata(r); err == nil && read.ClientID != id {
			err = bad("invalid_client_metadata", "client_id is another than that of the address")
		}
		m = &read
	}
	var now client.Registration
	if err == nil {
		now, err = s.clients.Registered.Manage(r.Context(), id, token, m, r.Method == http.MethodDelete)
	}
	switch {
	case errors.Is(err, client.ErrUnknown):
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		s.write(w, &failure{status: http.StatusUnauthorized, code: "invalid_token", text: "the registration access token is not the one of this client", cause: err})
	case err != nil:
		s.write(w, err)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		now.ManagedAt, now.AccessToken = s.url+"/register/"+id, token
		writeJSON(w, http.StatusOK, now)
	}
}
