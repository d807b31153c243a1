// Package authorize is the stage that lets a message through or refuses it, and takes out of the server's lists what
// the caller may not use. What is allowed is package policy's to say; here it meets the messages.
package authorize

import (
	"net/http"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ruleset"
)

// Check decides on every message of the exchange. One that is refused refuses all: half a batch would leave the
// caller guessing which half ran.
func Check(x *call.Exchange) error {
	for i := range x.MCP.Messages {
		m := &x.MCP.Messages[i]
		request, err := question(x.Rules.Rules.Server, m)
		if err != nil {
			return err
		}
		decision := x.Rules.Policies.Decide(x.Who, request)
		x.Policy, x.Decision = decision.Policy, audit.Allowed
		if !decision.Allow {
			x.Decision = audit.Denied
			return refusal(&x.MCP, m)
		}
	}
	return nil
}

// question is what the policies must know of a message.
func question(server string, m *mcp.Message) (policy.Request, error) {
	q := policy.Request{Server: server, Method: m.Method, Response: m.Kind == mcp.Response}
	if kind, _ := m.Params.RefType.Text(); kind == mcp.RefPrompt {
		q.Kind = policy.KindPrompt
	} else if kind == mcp.RefResource {
		q.Kind = policy.KindResource
	}
	target := m.Target()
	var ok bool
	if q.Name, ok = target.Name.Text(); target.Name != nil && !ok {
		return q, unreadable(m)
	}
	if len(target.More) > policy.MaxURIs {
		return q, unreadable(m)
	}
	for _, t := range target.More {
		uri, ok := t.Text()
		if !ok {
			return q, unreadable(m)
		}
		q.More = append(q.More, uri)
	}
	return q, nil
}

func unreadable(m *mcp.Message) error {
	return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidParams, ID: m.ID,
		Message: "Invalid params: what the method is to use must be named by plain text"}
}

// refusal reaches a caller as a JSON-RPC error on HTTP 200, which every client shows to its user; only what has no
// answer is refused by status. The policy's name is for the log.
func refusal(body *mcp.Body, m *mcp.Message) error {
	e := &mcp.Error{Status: http.StatusOK, Code: mcp.CodeRefused, ID: m.ID,
		Message: "Not allowed: no policy lets you use this; ask whoever runs this gateway"}
	if body.Batch {
		for i := range body.Messages {
			if body.Messages[i].Kind == mcp.Request {
				e.Batch = append(e.Batch, body.Messages[i].ID)
			}
		}
		e.Message = "Not allowed: no policy lets you use something in this batch; none of it was sent"
	}
	if m.Kind != mcp.Request && e.Batch == nil {
		e.Status = http.StatusForbidden
	}
	return e
}

// kinds are the arrays of list results.
var kinds = map[string]policy.Kind{"tools": policy.KindTool, "prompts": policy.KindPrompt,
	"resources": policy.KindResource, "resourceTemplates": policy.KindResource}

// Filter says which items of a server's lists the caller may see, for mcp.FilterLists.
func Filter(rules *ruleset.Set, who identity.Identity) func(list, name string) bool {
	return func(list, name string) bool {
		return rules.Policies.Visible(who, rules.Rules.Server, kinds[list], name)
	}
}

// Filtered tells whether the answer may hold lists, or content whose cacheScope must be the caller's own. A GET stream
// may deliver the rest of any answer.
func Filtered(x *call.Exchange) bool {
	if x.Request.Method == http.MethodGet {
		return true
	}
	for i := range x.MCP.Messages {
		switch x.MCP.Messages[i].Method {
		case "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read":
			return true
		}
	}
	return false
}
