// Package authorize is the stage that lets a message through or refuses it, and takes out of the server's answers what
// the caller may not see: items of lists, and news of other people's tasks. What is allowed is package policy's to say;
// here it meets the messages.
package authorize

import (
	"fmt"
	"log/slog"
	"net/http"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/shim/call"
	"mcpgateway/shim/task"
)

// Checker decides on exchanges; all fields are required.
type Checker struct {
	Tasks  *task.Owners // whose tasks are whose
	Logger *slog.Logger
}

// Check decides on every message of the exchange. One that is refused refuses all: half a batch would leave the
// caller guessing which half ran.
func (c Checker) Check(x *call.Exchange) error {
	for i := range x.MCP.Messages {
		m := &x.MCP.Messages[i]
		request, err := question(x, m)
		if err != nil {
			return err
		}
		decision := x.Rules.Policies.Decide(x.Who, request)
		x.Policy, x.Decision = decision.Policy, audit.Denied
		c.report(x, decision.Fault)
		switch {
		case decision.Scope != "":
			return c.stepUp(x, m, decision.Scope)
		case !decision.Allow:
			return refusal(&x.MCP, m)
		}
		if err := c.checkTasks(x, m); err != nil {
			return err
		}
		x.Decision = audit.Allowed
	}
	return nil
}

// report logs conditions that could not be decided. The caller learns nothing of them: they tell what policies look at.
func (c Checker) report(x *call.Exchange, fault error) {
	if fault != nil {
		c.Logger.Warn("a condition cannot be decided, so it refuses", "request", x.RequestID(), "error", fault)
	}
}

// question is what the policies must know of a message.
func question(x *call.Exchange, m *mcp.Message) (policy.Request, error) {
	q := policy.Request{Server: x.Rules.Rules.Server, Method: m.Method, Response: m.Kind == mcp.Response, Era: x.Era.String(), Arguments: m.Params.Arguments}
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
	return answer(body, m, mcp.Error{Code: mcp.CodeRefused,
		Message: "Not allowed: no policy lets you use this; ask whoever runs this gateway"},
		"Not allowed: no policy lets you use something in this batch; none of it was sent")
}

// answer completes an error for one message, or for the batch that it is in.
func answer(body *mcp.Body, m *mcp.Message, e mcp.Error, ofBatch string) error {
	e.Status, e.ID = http.StatusOK, m.ID
	if body.Batch {
		e.Batch, e.Message = body.RequestIDs(), ofBatch
	}
	if m.Kind != mcp.Request && e.Batch == nil {
		e.Status = http.StatusForbidden
	}
	return &e
}

// stepUp asks for a token with more scopes (MCP 2026-07-28, authorization, "scope challenge handling"; RFC 6750 section
// 3.1). Clients look for it on a 403.
func (c Checker) stepUp(x *call.Exchange, m *mcp.Message, scope string) error {
	resource := x.Rules.Rules.Resources[0]
	return &mcp.Error{Status: http.StatusForbidden, Code: mcp.CodeRefused, ID: m.ID,
		Message: "Your access token lacks a scope for this: sign in again, and allow what is asked for",
		Cause:   fmt.Errorf("the token lacks scopes of %q", scope),
		Header:  http.Header{"Www-Authenticate": {identity.ScopeChallenge(identity.MetadataURL(resource), scope)}}}
}
