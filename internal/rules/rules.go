// Package rules is the document that tells a shim how to govern one server: whom to believe, what to allow, what to
// record. It changes without a restart, is signed by the deployer, and holds no secret.
//
// The package makes and opens the signed form. It does not decide by the rules, deliver them, or judge whether a
// document is new enough or meant for the shim that reads it: see Open.
package rules

import (
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
)

// Rules is one version of what is in force for one server.
//
// A field that is added must be left out of the JSON where it is not used (omitempty): Open refuses fields that it does
// not know, so that only servers which use the new field need a new shim.
type Rules struct {
	Version   int64             `json:"version"` // grows with every change; Unix milliseconds
	Server    string            `json:"server"`
	Resources []string          `json:"resources"` // the URLs the server is offered under: what tokens must be bound to
	Issuers   []identity.Issuer `json:"issuers"`   // with a snapshot of their keys
	Policies  []policy.Policy   `json:"policies"`  // those that can concern this server
	Filters   []Filter          `json:"filters,omitempty"`
	// Credentials is what the server is sent; nil: nothing of anybody's.
	Credentials *Credentials `json:"credentials,omitempty"`
	// CallTimeout is the longest call, the platform's; 0 where the shim's own holds.
	CallTimeout time.Duration   `json:"callTimeout,omitempty"`
	Audit       *audit.Settings `json:"audit,omitempty"`
}
