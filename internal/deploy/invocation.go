package deploy

import "encoding/json"

// Invocation is a question to a deployer that is a function: one to the server that it is elsewhere.
type Invocation struct {
	Path     string          `json:"path"` // one of the paths of a deployer
	Question json.RawMessage `json:"question"`
}

// Reply answers an Invocation, as a server would over HTTP.
type Reply struct {
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer"`
}
