package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/exchange"
)

// How long a call waits for its caller to be done at a page, and how often that is looked at.
const (
	patience = 20 * time.Second
	glance   = time.Second
)

// credential has the caller's token exchanged. A modern client sends a call again as soon as its person agreed to go to a page: it
// waits a while for them to be done there, or they would be asked over and over.
func credential(x *call.Exchange) (*exchange.Credential, error) {
	ctx, cancel := context.WithTimeout(x.Request.Context(), patience)
	defer cancel()
	for {
		got, err := x.Rules.Exchange.Credential(x.Request.Context(), x.Token, x.Who)
		if e, is := errors.AsType[*mcp.Error](err); !is || e.Elicit == nil || !agreed(x) {
			return got, err
		}
		select {
		case <-time.After(glance):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// agreed tells whether the caller was led to a page by the call before this one, and agreed to go there.
func agreed(x *call.Exchange) bool {
	return x.Era == mcp.Modern && len(x.MCP.Messages) == 1 && mcp.Agreed(x.MCP.Messages[0].Raw)
}

// elicit gives an error that leads a person to a page the form that the client knows: where it can lead people to pages it does so
// by itself, and else its person reads the address. Clients read JSON-RPC errors of requests in answers with 200 only.
func elicit(x *call.Exchange, err error) error {
	e, is := errors.AsType[*mcp.Error](err)
	if !is || e.Elicit == nil {
		return err
	}
	to := *e // others have the same one
	to.ID, to.Elicit = nil, nil
	ids := x.MCP.RequestIDs()
	if len(ids) == 0 {
		return &to
	}
	to.Status = http.StatusOK
	if x.MCP.Batch {
		to.Batch = ids // of a revision without pages
		return &to
	}
	m := &x.MCP.Messages[0]
	to.ID = m.ID
	switch {
	case !mcp.ElicitsURL(capabilities(x, m)):
	case x.Era == mcp.Legacy:
		to.Elicit, to.Code = e.Elicit, mcp.CodeElicitURL
	case m.Method == "tools/call" || m.Method == "prompts/get" || m.Method == "resources/read":
		to.Elicit, to.Code = e.Elicit, 0
	}
	return &to
}

// capabilities are what the client said that it can do: in a modern request, at the begin of a legacy session.
func capabilities(x *call.Exchange, m *mcp.Message) mcp.Token {
	if x.Era == mcp.Modern {
		return m.Params.Capabilities
	}
	params := mcp.Token(nil)
	switch {
	case x.Initializes():
		outer, err := mcp.Members(m.Raw, "params")
		if err != nil {
			return nil
		}
		params = outer[0]
	case x.Sealed != nil:
		params = mcp.Token(x.Sealed.Params)
	}
	inner, err := mcp.Members(params, "capabilities")
	if err != nil {
		return nil
	}
	return inner[0]
}
