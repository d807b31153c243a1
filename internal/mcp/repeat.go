package mcp

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// ParamHeaders begins the names of headers that repeat arguments of a tool (MCP 2026-07-28, transports, "custom headers
// from tool parameters").
const ParamHeaders = "Mcp-Param-"

// RepeatName has Mcp-Name say what message m now names, where the header was sent at all.
func RepeatName(h http.Header, m *Message) {
	if name, ok := m.Target().Name.Text(); ok && h.Get(HeaderName) != "" {
		h.Set(HeaderName, EncodeHeader(name))
	}
}

// RepeatedParam decodes a header that repeats an argument; false where nobody can tell what it says.
func RepeatedParam(value string) (string, bool) { return decodeHeader(value) }

// EncodeHeader is v as a header that repeats it (MCP 2026-07-28, transports, "value encoding").
func EncodeHeader(v string) string {
	if plain(v) && strings.Trim(v, " ") == v && !strings.HasPrefix(v, "=?base64?") {
		return v
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
}
