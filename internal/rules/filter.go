package rules

import "time"

// Filter is a check that the shim has others make on messages, in the order of the list. What it is asked about, and
// what becomes of its answer, changes without a restart.
type Filter struct {
	Name    string        `json:"name"`
	Server  *FilterServer `json:"server,omitempty"` // where it runs elsewhere; nil: a converter beside the shim, of that name
	On      []string      `json:"on"`               // selectors
	Mutate  bool          `json:"mutate,omitempty"`
	Timeout time.Duration `json:"timeout"` // in nanoseconds; of one check, retries included
	OnError string        `json:"onError"` // OnErrorReject | OnErrorAccept
}

// FilterServer is a tool of an MCP server that runs elsewhere.
type FilterServer struct {
	URL    string `json:"url"`
	Tool   string `json:"tool"`
	Egress string `json:"egress"` // where it may be, as package egress writes it
}

// What becomes of a message that a filter could not check.
const (
	OnErrorReject = "reject"
	OnErrorAccept = "accept"
)
