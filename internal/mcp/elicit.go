package mcp

import (
	"crypto/rand"
	"encoding/json"
)

// Elicitation leads a person to a page of ours, by a client that can do so. In an Error with CodeElicitURL it is that error's data
// (MCP 2025-11-25, elicitation, "URL Elicitation Required Error"); in one without a code the answer is no error but a result that
// asks for it (MCP 2026-07-28, multi round-trip requests).
type Elicitation struct{ URL, Message string }

type elicitation struct {
	Mode    string `json:"mode"`
	ID      string `json:"elicitationId,omitempty"` // legacy only
	URL     string `json:"url"`
	Message string `json:"message"`
}

func (e *Elicitation) params() elicitation {
	return elicitation{Mode: "url", ID: rand.Text(), URL: e.URL, Message: e.Message}
}

// elicitationKey is our own among the input requests, of which a server behind may have some too.
const elicitationKey = "mcpgateway_connect"

// result is an InputRequiredResult.
func (e *Elicitation) result(id Token) []byte {
	type request struct {
		Method string      `json:"method"`
		Params elicitation `json:"params"`
	}
	params := e.params()
	params.ID = ""
	var msg struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  struct {
			Type   string             `json:"resultType"`
			Inputs map[string]request `json:"inputRequests"`
		} `json:"result"`
	}
	msg.Version, msg.ID = "2.0", json.RawMessage(id)
	msg.Result.Type, msg.Result.Inputs = "input_required", map[string]request{elicitationKey: {"elicitation/create", params}}
	out, err := json.Marshal(msg)
	if err != nil { // see Error.message
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}`)
	}
	return out
}

// Agreed tells whether a request answers the one of ours that was in the result before it: that the person goes to the page.
func Agreed(request Token) bool {
	for _, name := range []string{"params", "inputResponses", elicitationKey, "action"} {
		inner, err := Members(request, name)
		if err != nil || inner[0] == nil {
			return false
		}
		request = inner[0]
	}
	action, is := request.Text()
	return is && action == "accept"
}

// ElicitsURL tells whether a client with such capabilities leads people to pages. Before there was the mode (2025-11-25) a client
// that said nothing of modes knew forms only.
func ElicitsURL(capabilities Token) bool {
	elicits, err := Members(capabilities, "elicitation")
	if err != nil || elicits[0] == nil {
		return false
	}
	url, err := Members(elicits[0], "url")
	return err == nil && len(url[0]) > 0 && url[0][0] == '{'
}
