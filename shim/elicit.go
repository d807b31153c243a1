package main

import (
	"errors"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

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
