package audit

// Verdict is what a filter said of a message.
type Verdict struct {
	Type    string  `json:"type"`             // request | response: which way the message went
	Method  string  `json:"method,omitempty"` // of the message, or of the request that it answers
	Name    string  `json:"name"`             // the filter's
	Server  string  `json:"server,omitempty"` // that the filter is, where it is one of the catalog
	Tool    string  `json:"tool,omitempty"`   // of the filter's server
	Status  string  `json:"status"`           // one of the Verdict… constants
	Message string  `json:"message,omitempty"`
	Ms      float64 `json:"ms"` // that the check took
}

// What a filter's answer came to.
const (
	VerdictOK       = "ok"
	VerdictRejected = "rejected"
	VerdictMutated  = "mutated"
	VerdictError    = "error" // it could not be asked, or gave no proper answer
)
