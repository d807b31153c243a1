package differential

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"

	sdk "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// probe notes what the server reads of one request, and ends it: nothing is to be answered.
type probe struct {
	read reading
	done context.CancelFunc
}

type probeKey struct{}

// goServer is a real server of mcp-go over HTTP that offers everything, made once a process.
var goServer = sync.OnceValue(func() http.Handler {
	hooks := &server.Hooks{}
	hooks.AddBeforeAny(func(ctx context.Context, id any, method sdk.MCPMethod, message any) {
		p := ctx.Value(probeKey{}).(*probe)
		p.read = reading{"kind": "request", "id": id, "method": string(method)}
		p.read.add(message)
		p.done()
	})
	s := server.NewMCPServer("differential", "1", server.WithHooks(hooks), server.WithToolCapabilities(true),
		server.WithPromptCapabilities(true), server.WithResourceCapabilities(true, true), server.WithLogging(),
		server.WithCompletions(), server.WithTaskCapabilities(true, true, true))
	return server.NewStreamableHTTPServer(s, server.WithStateLess(true), server.WithDisableLocalhostProtection(true),
		server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler)))
})

// mcpGo returns what mcp-go reads of a request with these headers; nil where it refuses, or reads no request.
func mcpGo(h http.Header, body []byte) (read reading) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := &probe{done: cancel}
	r := httptest.NewRequestWithContext(context.WithValue(ctx, probeKey{}, p), http.MethodPost, "/mcp", bytes.NewReader(body))
	r.Header = h.Clone()
	r.Header.Set("Content-Type", "application/json")
	defer func() {
		if recover() != nil { // a bug of its own, which net/http would catch
			read = nil
		}
	}()
	goServer().ServeHTTP(httptest.NewRecorder(), r)
	return p.read
}

// add adds what a request of mcp-go holds. Absent and empty are the same there.
func (r reading) add(message any) {
	target := func(name string, value string) { r[name], r["target"] = value, value }
	switch m := message.(type) {
	case *sdk.CallToolRequest:
		target("name", m.Params.Name)
		r["arguments"] = m.Params.Arguments
	case *sdk.GetPromptRequest:
		target("name", m.Params.Name)
		arguments := map[string]any{}
		for name, v := range m.Params.Arguments {
			arguments[name] = v
		}
		r["arguments"] = arguments
	case *sdk.ReadResourceRequest:
		target("uri", m.Params.URI)
	case *sdk.SubscribeRequest:
		target("uri", m.Params.URI)
	case *sdk.UnsubscribeRequest:
		target("uri", m.Params.URI)
	case *sdk.GetTaskRequest:
		target("taskId", m.Params.TaskId)
	case *sdk.TaskResultRequest:
		target("taskId", m.Params.TaskId)
	case *sdk.CancelTaskRequest:
		target("taskId", m.Params.TaskId)
	case *sdk.InitializeRequest:
		r["clientName"], r["clientVersion"] = m.Params.ClientInfo.Name, m.Params.ClientInfo.Version
	case *sdk.CompleteRequest:
		switch ref := m.Params.Ref.(type) {
		case sdk.PromptReference:
			r["refType"] = ref.Type
			target("refName", ref.Name)
		case sdk.ResourceReference:
			r["refType"] = ref.Type
			target("refURI", ref.URI)
		}
	case *sdk.SubscriptionsListenRequest:
		var uris []any
		for _, uri := range m.Params.Notifications.ResourceSubscriptions {
			uris = append(uris, uri)
		}
		r["subscriptions"] = uris
	}
}

// promptTexts is ours as mcp-go tells it: a prompt's arguments are texts there, null among them as "".
func (r reading) promptTexts() reading {
	arguments, ok := r["arguments"].(map[string]any)
	if r["method"] != "prompts/get" || !ok {
		return r
	}
	texts := map[string]any{}
	for name, v := range arguments {
		if texts[name] = v; v == nil {
			texts[name] = ""
		}
	}
	out := maps.Clone(r)
	out["arguments"] = texts
	return out
}
