package deploy

import (
	"errors"
	"fmt"

	"mcpgateway/internal/catalog"
)

// The name, in the shim's store, of the token by which the session store knows the shim, and that of the store itself
// (servertoken.Sessions).
const (
	keySessions   = "sessions"
	tokenSessions = "sessions"
)

// sessionsSurvive is the entry's word for sessions that outlive their server.
const sessionsSurvive = "survive"

// addSessions tells the shim where what clients asked of sessions outlives the server, for sessions that do.
func addSessions(shim *Unit, s catalog.Server, store *catalog.SessionStore) {
	if store == nil || s.Sessions != sessionsSurvive {
		return
	}
	shim.Env = append(shim.Env, EnvVar{"SHIM_SESSIONS_URL", store.URL})
	shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: keySessions, File: "SHIM_SESSIONS_SECRET_FILE", Token: tokenSessions})
}

func checkSessionStore(store *catalog.SessionStore) error {
	if store == nil {
		return nil
	}
	if store.URL == "" {
		return errors.New("sessions: no URL")
	}
	if err := checkText(store.URL); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	return nil
}
