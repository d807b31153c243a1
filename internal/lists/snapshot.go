// Package lists is what a server said of itself, kept for the time in which it sleeps: its answers to initialize,
// server/discover and the lists, as nobody's policies have filtered them. A shim makes such a snapshot, the gateway reads it,
// and whoever keeps it in between can neither read nor change it.
//
// The package seals and opens, brings and fetches. It asks no server, keeps nothing, and decides about nobody.
package lists

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What a snapshot may be at most.
const (
	MaxBytes = 1 << 20            // sealed
	MaxItems = 5000               // of one list
	MaxAge   = 7 * 24 * time.Hour // a server that was not heard of for longer is asked itself
)

// maxSkew is how far the clocks of shim and gateway may be apart.
const maxSkew = time.Minute

// Snapshot is what a server said, to clients of either era of the protocol: by the method that was asked.
type Snapshot struct {
	Server   string    `json:"server"`
	Revision string    `json:"revision"` // of the server's entry in the catalog
	Policies string    `json:"policies"` // those that were in force, as policy.Fingerprint names them
	Made     time.Time `json:"made"`

	Legacy map[string]Result `json:"legacy,omitempty"`
	Modern map[string]Result `json:"modern,omitempty"`

	// Version is the legacy revision of the protocol in which it was asked, Answer the beginning of the SHA-256 of its
	// result of initialize, and Sessions tells whether a session's id came with that.
	Version  string  `json:"version,omitempty"`
	Answer   [8]byte `json:"answer,omitzero"`
	Sessions bool    `json:"sessions,omitempty"`
}

// Result is the result of one method, all pages of a list in one.
type Result struct {
	Value json.RawMessage `json:"value"`
	// Until is how long the server said that this holds (MCP 2026-07-28, caching, "ttlMs"); zero where it said nothing, as
	// servers of the legacy era do.
	Until time.Time `json:"until,omitzero"`
}

// Fresh tells whether the result may still be given to somebody.
func (r *Result) Fresh(now time.Time) bool {
	return len(r.Value) > 0 && (r.Until.IsZero() || now.Before(r.Until))
}

// Arrays are the members of list results that hold the items, by method.
var Arrays = map[string]string{"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources",
	"resources/templates/list": "resourceTemplates"}

// check refuses a snapshot that is not of the server, from the future, or too old.
func (s *Snapshot) check(server string, now time.Time) error {
	switch {
	case s.Server != server:
		return fmt.Errorf("it is of %.60q", s.Server)
	case s.Revision == "" || s.Policies == "":
		return errors.New("it names no revision and no policies")
	case s.Made.After(now.Add(maxSkew)):
		return errors.New("it was made in the future")
	case now.Sub(s.Made) > MaxAge:
		return fmt.Errorf("it was made at %v", s.Made.Format(time.RFC3339))
	}
	return nil
}
