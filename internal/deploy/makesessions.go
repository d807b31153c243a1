package deploy

import (
	"errors"
	"fmt"

	"mcpgateway/internal/catalog"
)

// KeySessions is in the shim's store: the token by which the session store knows the shim (servertoken.Sessions). Deployers put it
// there themselves.
const KeySessions = "sessions"

// sessionsSurvive is the entry's word for sessions that outlive their server.
const sessionsSurvive = "survive"

// addSessions tells the shim where what clients asked of sessions outlives the server, for sessions that do.
func addSessions(shim *Unit, s catalog.Server, store *catalog.SessionStore) {
	if store == nil || s.Sessions != sessionsSurvive {
		return
	}
	shim.Env = append(shim.Env, EnvVar{"SHIM_SESSIONS_URL", store.URL})
	shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: KeySessions, File: "SHIM_SESSIONS_SECRET_FILE"})
}

// WantsSessions tells whether the shim of a plan is to be known at the session store.
func (p *Plan) WantsSessions() bool {
	for _, u := range p.Units {
		for _, secret := range u.Secrets {
			if u.Role == RoleShim && secret.Key == KeySessions {
				return true
			}
		}
	}
	return false
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
