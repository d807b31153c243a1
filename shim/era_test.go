package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	wire "mcpgateway/internal/mcp"
	"mcpgateway/shim/era"
	"mcpgateway/shim/forward"
)

// eraRig is a shim that translates, in front of a server of one era: another's library, of which what is of the other era is
// refused.
type eraRig struct {
	*rig
	mu    sync.Mutex
	calls int // of tools, that the server got
}

func newEraRig(t *testing.T, spoken wire.Era) *eraRig {
	t.Helper()
	r := &eraRig{}
	upstream := httptest.NewServer(r.oneEra(spoken, library()))
	t.Cleanup(upstream.Close)
	u, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	eras, err := era.New(era.Config{Server: "github", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.rig = newRigTo(t, forward.Config{Upstream: u, Eras: eras})
	return r
}

// library is a server of mcp-go with the tools that the rig's policies speak of.
func library() http.Handler {
	s := server.NewMCPServer("library", "1", server.WithToolCapabilities(true))
	for _, name := range []string{"get_issue", "create_issue", "merge"} {
		s.AddTool(mcp.NewTool(name), says(name))
	}
	return server.NewStreamableHTTPServer(s, server.WithEndpointPath("/mcp"))
}

func (r *eraRig) oneEra(spoken wire.Era, next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if wire.EraOf(q.Header) != spoken {
			e := wire.Error{Status: 400, Code: -32000, Message: "Unsupported protocol version"}
			if spoken == wire.Modern {
				e.Code = wire.CodeHeaderMismatch
			}
			e.Write(w, "")
			return
		}
		if strings.Contains(string(body), `"tools/call"`) {
			r.mu.Lock()
			r.calls++
			r.mu.Unlock()
		}
		q.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, q)
	}
}

// modernPost sends a request of revision 2026-07-28.
func (r *eraRig) modernPost(t *testing.T, token, method, name string) (*http.Response, string) {
	t.Helper()
	params := `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"app","version":"3"}}`
	header := []string{wire.HeaderVersion, wire.ModernVersion, wire.HeaderMethod, method}
	if name != "" {
		params += fmt.Sprintf(`,"name":%q`, name)
		header = append(header, wire.HeaderName, name)
	}
	return r.post(t, token, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s}}`, method, params), header...)
}

// A modern client of a legacy server is judged and recorded by what it says, not by what the server is sent.
func TestModernClientOfLegacyServer(t *testing.T) {
	r := newEraRig(t, wire.Legacy)
	for _, tc := range []struct{ method, name, want string }{
		{"server/discover", "", `"supportedVersions":["2026-07-28"]`},
		{"tools/list", "", `"tools":[{"annotations"`},
		{"tools/call", "get_issue", `"text":"get_issue"`},
		{"tools/call", "create_issue", `"code":-32001`},
		{"tools/call", "merge", `"code":-32001`},
	} {
		resp, body := r.modernPost(t, r.seller(t), tc.method, tc.name)
		if resp.StatusCode != 200 || !strings.Contains(body, tc.want) || strings.Contains(body, `"name":"create_issue"`) {
			t.Errorf("%s %s: %d %s", tc.method, tc.name, resp.StatusCode, body)
		}
		if resp.Header.Get(wire.HeaderSession) != "" {
			t.Errorf("%s: a session reached the client", tc.method)
		}
	}
	if r.calls != 1 {
		t.Errorf("the server got %d calls", r.calls)
	}
	for _, rec := range r.records.all() {
		if rec.Era != "modern" || rec.ClientName != "app" || rec.CallType == "initialize" {
			t.Errorf("record: %+v", rec)
		}
	}
	if n := len(r.records.all()); n != 5 {
		t.Errorf("%d records", n)
	}
}

func says(text string) server.ToolHandlerFunc {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(text), nil
	}
}

// A legacy client of a modern server is judged and recorded by what it says, in a session that only the shim knows.
func TestLegacyClientOfModernServer(t *testing.T) {
	r := newEraRig(t, wire.Modern)
	resp, body := r.post(t, r.seller(t), initialize)
	id := resp.Header.Get(wire.HeaderSession)
	if !strings.HasPrefix(id, "s2.") || !strings.Contains(body, `"protocolVersion":"2025-11-25"`) {
		t.Fatalf("initialize: %d %s, session %q", resp.StatusCode, body, id)
	}
	for _, tc := range []struct{ body, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `"tools":[{"annotations"`},
		{callTool("get_issue"), `"text":"get_issue"`},
		{callTool("create_issue"), `"code":-32001`},
		{callTool("merge"), `"code":-32001`},
	} {
		resp, body := r.post(t, r.seller(t), tc.body, wire.HeaderSession, id, wire.HeaderVersion, "2025-11-25")
		if resp.StatusCode != 200 || !strings.Contains(body, tc.want) || strings.Contains(body, `"name":"create_issue"`) || strings.Contains(body, "resultType") {
			t.Errorf("%s: %d %s", tc.body, resp.StatusCode, body)
		}
	}
	if resp, _ := r.post(t, r.engineer(t), callTool("get_issue"), wire.HeaderSession, id); resp.StatusCode != 404 {
		t.Errorf("another's session: %d", resp.StatusCode)
	}
	if r.calls != 1 {
		t.Errorf("the server got %d calls", r.calls)
	}
	for _, rec := range r.records.all() {
		if rec.Era != "legacy" || rec.CallType == "server/discover" {
			t.Errorf("record: %+v", rec)
		}
	}
}

// A session outlives the shim that began it, as one with a legacy server does: another shim begins it again.
func TestTranslatedSessionSurvives(t *testing.T) {
	r := newEraRig(t, wire.Modern)
	resp, _ := r.post(t, r.seller(t), initialize)
	id := resp.Header.Get(wire.HeaderSession)
	var err error
	if r.chain.forward.Eras, err = era.New(era.Config{Server: "github", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if resp, body := r.post(t, r.seller(t), callTool("get_issue"), wire.HeaderSession, id); resp.StatusCode != 200 || !strings.Contains(body, `"text":"get_issue"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if r.calls != 1 {
		t.Errorf("the server got %d calls", r.calls)
	}
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"app","version":"3"}}}`
