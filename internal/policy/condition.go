package policy

import (
	"errors"
	"slices"
	"strings"

	"mcpgateway/internal/identity"
)

// Condition is the when of one policy, ready to decide. Any number of goroutines may ask it.
type Condition interface {
	// Holds decides by the facts. An error says that it cannot be decided at all, as for an argument of another type
	// than the condition takes; its text holds nothing of the facts, so that it can be logged.
	Holds(f *Facts) (Truth, error)
	// Varies tells whether the answer depends on what a message names, so that it must be asked for each item of a list.
	Varies() bool
}

// Conditions makes the Condition of a policy with a when. What decides conditions is linked by the shim alone, so it is
// handed in. A nil one refuses every policy with a when.
type Conditions func(p *Policy) (Condition, error)

// Truth is what a condition comes to.
type Truth uint8

// The truths.
const (
	No Truth = iota
	Yes
	Depends // on something that Facts do not hold yet
)

// Facts are what conditions may read of one message.
type Facts struct {
	Who    *identity.Identity
	Server string // id in the catalog
	Era    string // of the request: legacy or modern
	Method string // empty for an answer to a request of the server's
	Kind   Kind   // of what the method names
	Name   string // of the tool or prompt, or the resource's URI, as Kind says
	// Arguments is the JSON object that the message carries as params.arguments; nil stands for an empty one.
	Arguments []byte
	// NoArguments says that there is no message with arguments yet: an item of a list, a completion, a handshake.
	// NoName says the same of what a message names.
	NoArguments, NoName bool

	// Memo is for whoever decides conditions: what it worked out of facts that stay the same.
	Memo any
}

// holds asks a rule's condition. In an allow, what cannot be decided does not match, in a deny it does, and what depends
// on something that is not known yet never refuses.
func (r *rule) holds(f *Facts, faults *error) bool {
	if r.when == nil {
		return true
	}
	truth, err := r.when.Holds(f)
	if err != nil {
		*faults = errors.Join(*faults, &Fault{Policy: r.name, Cause: err})
		return r.deny
	}
	return truth == Yes || truth == Depends && !r.deny
}

// Fault says that the condition of a policy could not be decided. It is for the log, never for the caller.
type Fault struct {
	Policy string
	Cause  error
}

// Error implements error.
func (f *Fault) Error() string { return "policy " + f.Policy + ": when: " + f.Cause.Error() }

// Unwrap implements errors.Unwrap.
func (f *Fault) Unwrap() error { return f.Cause }

// CheckScope says what is wrong with an entry of Policy.Scopes: RFC 6749 section 3.3 lists what a scope is made of, and
// nothing else can stand in the header that asks for it.
func CheckScope(scope string) error {
	const most = 256 // bytes, as of a scope in a token
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if scope == "" || len(scope) > most || strings.ContainsFunc(scope, bad) {
		return errors.New("is no scope: 1 to 256 printable ASCII characters without spaces, quotes and backslashes")
	}
	return nil
}

// lacks reports whether the token of who has not all scopes that the rule needs.
func (r *rule) lacks(who *identity.Identity) bool {
	return slices.ContainsFunc(r.scopes, func(s string) bool { return !slices.Contains(who.Scopes, s) })
}

// challenge lists the scopes that a token must have to be allowed by r: those of the policy, and of those that the token
// has already the ones that policies ask for. A client that gets a token for just what it is asked would lose them, and be
// asked for one or the other for ever (MCP 2026-07-28, authorization, "scope challenge handling").
func (s *Set) challenge(r *rule, who *identity.Identity) string {
	all := slices.Clone(r.scopes)
	for _, scope := range who.Scopes {
		if s.scopes[scope] && !slices.Contains(all, scope) {
			all = append(all, scope)
		}
	}
	return strings.Join(all, " ")
}
