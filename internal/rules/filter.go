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
	URL    string      `json:"url"`
	Tool   string      `json:"tool"`
	Egress string      `json:"egress"`          // where it may be, as package egress writes it
	Entry  string      `json:"entry,omitempty"` // its id, where it is a server of the catalog, which is called through the gateway
	Caller *FilterUser `json:"caller,omitempty"`
}

// FilterUser is as whom the shim calls a server of the catalog, and where it gets a token for that (RFC 6749 section 4.4).
type FilterUser struct {
	Issuer string `json:"issuer"` // the authorization server, to which Egress leads too
	Client Client `json:"client"`
}

// FilterTool is the tool of a filter that names none.
const FilterTool = "filter"

// MaxFilterDepth is how many filters that are servers of the catalog may stand behind each other: the messages to one of them
// may be filtered by another. What the catalog's loader lets pass holds to it; the depth in the callers' tokens does where
// shims have rules of different ages.
const MaxFilterDepth = 4

// FilterDepth is the parameter of a shim's token request, and the claim of its token, that says how many filters are asked
// at the same time when the token is used: 1 for the first. The authorization server takes it from shims only.
const FilterDepth = "filter_depth"

// What becomes of a message that a filter could not check.
const (
	OnErrorReject = "reject"
	OnErrorAccept = "accept"
)
