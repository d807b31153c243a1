package era

import (
	"context"
	"io"
	"net/http"
	"sync"

	"mcpgateway/internal/mcp"
)

const (
	maxTools = 5000 // that are remembered
	maxPages = 50   // of a list
)

// tools are what of their arguments a server wants repeated in headers (MCP 2026-07-28, transports, "custom headers from tool
// parameters").
type tools struct {
	mu sync.Mutex
	of map[string][]repeated
}

// repeated is an argument that a header repeats.
type repeated struct {
	header string
	path   []string
}

// repeat sets the headers of a call.
func (t *tools) repeat(h http.Header, tool string, arguments mcp.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.of[tool] {
		value := path(arguments, p.path...)
		text, isText := value.Text()
		switch {
		case isText:
			h.Set(mcp.ParamHeaders+p.header, mcp.EncodeHeader(text))
		case len(value) > 0 && string(value) != "null" && value[0] != '{' && value[0] != '[':
			h.Set(mcp.ParamHeaders+p.header, string(value))
		}
	}
}

// unrepeated tells whether a call was refused for want of headers that can be set now: it was not run.
func (c *legacyCall) unrepeated(ctx context.Context, failed mcp.Token) bool {
	if c.message.Method != "tools/call" || c.listed || string(path(failed, "code")) != string(number(mcp.CodeHeaderMismatch)) {
		return false
	}
	c.listed = true
	return c.list(ctx) == nil
}

// list reads the server's tools.
func (c *legacyCall) list(ctx context.Context) error {
	of := map[string][]repeated{}
	var cursor mcp.Token
	for range maxPages {
		params := object{{"_meta", c.visit.client.meta().token()}}
		if cursor != nil {
			params = append(params, member{"cursor", cursor})
		}
		resp, err := c.send(ctx, modern(c.x, mcp.ModernVersion, "tools/list", "", request(number(c.t.last.Add(1)), "tools/list", params.token())))
		if err != nil {
			return err
		}
		message, err := hello(resp, io.LimitReader(resp.Body, maxMessage))
		discard(resp)
		if err != nil {
			return err
		}
		if _, err := mcp.ParseLabelled(message); err != nil {
			return err
		}
		result := objectOf(path(message, "result"))
		_ = result.get("tools").Items(func(tool mcp.Token) error {
			name, _ := path(tool, "name").Text()
			if all := annotations(path(tool, "inputSchema"), nil, nil); len(all) > 0 && len(of) < maxTools {
				of[name] = all
			}
			return nil
		})
		if cursor = result.get("nextCursor"); cursor == nil {
			break
		}
	}
	c.t.tools.mu.Lock()
	defer c.t.tools.mu.Unlock()
	c.t.tools.of = of
	return nil
}

// annotations finds the parameters of a schema that headers repeat: those that are reached by properties only.
func annotations(schema mcp.Token, at []string, found []repeated) []repeated {
	for _, p := range objectOf(path(schema, "properties")) {
		here := append(at[:len(at):len(at)], p.name)
		if header, ok := path(p.value, "x-mcp-header").Text(); ok && token(header) {
			found = append(found, repeated{header, here})
		}
		found = annotations(p.value, here, found)
	}
	return found
}

// token tells whether a text can be a part of a header's name (RFC 9110, section 5.6.2).
func token(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '_', c == '.', c == '!', c == '#', c == '$', c == '%', c == '&', c == '\'', c == '*', c == '+', c == '^', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	return s != ""
}
