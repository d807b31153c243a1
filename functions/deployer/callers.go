package main

import (
	"context"
	"errors"
	"net/http"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/identity"
	"mcpgateway/knative/account"
)

// callers tells whether a token is of who may ask. On a socket nobody is asked for one: only its owner reaches it.
type callers interface {
	Check(ctx context.Context, token string) error
}

// only answers those who may ask, before anything of their question is read.
func (d *deployer) only(may callers, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := identity.Bearer(r.Header)
		if !ok {
			token = "" // which is nobody's
		}
		err := may.Check(r.Context(), token)
		status := http.StatusServiceUnavailable
		switch {
		case err == nil:
			next.ServeHTTP(w, r)
			return
		case errors.Is(err, account.ErrToken):
			status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", "Bearer")
		case errors.Is(err, account.ErrAccount):
			status = http.StatusForbidden
		}
		d.log.Warn("somebody asked who is not answered", "status", status, "from", r.RemoteAddr, "error", err)
		d.answer(w, status, deploy.Failure{Code: deploy.CodeUnavailable, Message: "The deployer answers the gateway only."})
	})
}
