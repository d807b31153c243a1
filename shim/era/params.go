package era

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

const (
	maxTools = 5000 // that are remembered
	maxPages = 50   // of a list
)

// tools are what of their arguments a server wants repeated in headers (MCP 2026-07-28, transports, "custom headers from tool
// parameters").
type tools struct {
	mu sync.Mutex
	of map[string][]repeated // nil until the tools were seen
}

// repeated is an argument that a header repeats.
type repeated struct {
	header string
	path   []string
}

// value is the argument as text; false where there is none to repeat.
func (p *repeated) value(arguments mcp.Token) (string, bool) {
	value := path(arguments, p.path...)
	if text, ok := value.Text(); ok {
		return text, true
	}
	return string(value), len(value) > 0 && string(value) != "null" && value[0] != '{' && value[0] != '[' && value[0] != '"'
}

// repeat sets the headers of a call.
func (t *tools) repeat(h http.Header, tool string, arguments mcp.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.of[tool] {
		if value, ok := p.value(arguments); ok {
			h.Set(mcp.ParamHeaders+p.header, mcp.EncodeHeader(value))
		}
	}
}

// contradicts tells whether a header says something else than the argument that it repeats (MCP 2026-07-28, transports,
// "server behavior for custom headers").
func (t *tools) contradicts(h http.Header, tool string, arguments mcp.Token) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.of[tool] {
		said := h.Values(mcp.ParamHeaders + p.header)
		want, ok := p.value(arguments)
		if ok != (len(said) == 1) || len(said) > 1 {
			return true
		}
		if !ok {
			continue
		}
		if got, plain := mcp.RepeatedParam(said[0]); !plain || got != want && !sameNumber(got, path(arguments, p.path...)) {
			return true
		}
	}
	return false
}

// sameNumber compares numbers as such: 42.0 is 42.
func sameNumber(said string, value mcp.Token) bool {
	if len(value) == 0 || value[0] == '"' {
		return false
	}
	a, errA := strconv.ParseFloat(said, 64)
	b, errB := strconv.ParseFloat(string(value), 64)
	return errA == nil && errB == nil && a == b
}

// seen tells whether the tools were listed once.
func (t *tools) seen() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of != nil
}

// learn reads a list of tools.
func (t *tools) learn(list mcp.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string][]repeated{}
	}
	if len(list) == 0 || list[0] != '[' {
		return
	}
	_ = list.Items(func(tool mcp.Token) error { // what is no list of them says nothing
		name, _ := path(tool, "name").Text()
		all := annotations(path(tool, "inputSchema"), nil, nil)
		if delete(t.of, name); len(all) > 0 && len(t.of) < maxTools {
			t.of[name] = all
		}
		return nil
	})
}

// listTools reads the server's tools, by requests that ask makes.
func (t *Translator) listTools(ctx context.Context, send Send, ask func(id mcp.Token, params object) *call.Exchange) error {
	params := object{}
	for range maxPages {
		resp, err := send(ctx, ask(number(t.last.Add(1)), params))
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
		t.tools.learn(result.get("tools"))
		cursor := result.get("nextCursor")
		if cursor == nil {
			return nil
		}
		params = params.with("cursor", cursor)
	}
	return nil
}

// unrepeated tells whether a call was refused for want of headers that can be set now: it was not run.
func (c *legacyCall) unrepeated(ctx context.Context, failed mcp.Token) bool {
	if c.message.Method != "tools/call" || c.listed || string(path(failed, "code")) != string(number(mcp.CodeHeaderMismatch)) {
		return false
	}
	c.listed = true
	return c.t.listTools(ctx, c.send, func(id mcp.Token, params object) *call.Exchange {
		params = params.with("_meta", c.visit.client.meta().token())
		return modern(c.x, mcp.ModernVersion, "tools/list", "", request(id, "tools/list", params.token()))
	}) == nil
}

// repeats refuses a call whose headers say something else than its body. The server sees none of them, but whoever stands
// before it may have decided on them.
func (c *modernCall) repeats(ctx context.Context) error {
	if c.message.Method != "tools/call" {
		return nil
	}
	h := c.x.Request.Header
	for name := range h {
		if strings.HasPrefix(name, mcp.ParamHeaders) && !c.t.tools.seen() {
			if err := c.t.listTools(ctx, c.send, func(id mcp.Token, params object) *call.Exchange {
				return c.kept.errand(c.x, c.session, request(id, "tools/list", params.token()))
			}); err != nil {
				return err
			}
			break
		}
	}
	name, _ := c.message.Params.Name.Text()
	if !c.t.tools.contradicts(h, name, c.params.get("arguments")) {
		return nil
	}
	return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeHeaderMismatch, ID: c.message.ID,
		Message: "The " + mcp.ParamHeaders + " headers must be those that the tool's inputSchema names, and equal to its arguments"}
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
