package mcp

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"strings"
)

// Names of MCP's HTTP headers, in Go's canonical form.
const (
	HeaderVersion = "Mcp-Protocol-Version"
	HeaderSession = "Mcp-Session-Id"
	HeaderMethod  = "Mcp-Method"
	HeaderName    = "Mcp-Name"
)

// What the gateway tells the shim of the client. A client's own are not among the headers that travel on.
const (
	HeaderClientIP  = "Gateway-Client-Ip"
	HeaderUserAgent = "Gateway-User-Agent"
)

// HeaderSupersede is on a listener's leg that takes the place of an older one of its session. A gateway that cannot know
// whether a client left sends it.
const HeaderSupersede = "Gateway-Supersede"

// HeaderHold is on the request with which a gateway, whose client left in the middle of a call, waits until there is nothing
// more for that client: it asks for nothing, and keeps the pod up while it lasts.
const HeaderHold = "Gateway-Hold"

// HeaderShim is on every answer of a shim, and holds a ShimMark. It is not among the headers that travel back, neither from
// a server nor to a client.
const HeaderShim = "Gateway-Shim"

// ShimMark names the server of a shim, and proves to a gateway that sealed the caller's token that the answer is that shim's.
// Without a proof it is the name alone.
func ShimMark(server, proof string) string {
	if proof == "" {
		return server
	}
	return server + " " + proof
}

// ModernVersion is the first revision without sessions.
const ModernVersion = "2026-07-28"

// Era tells the revisions with sessions from those without.
type Era uint8

// The eras.
const (
	Legacy Era = iota
	Modern
)

// String implements fmt.Stringer.
func (e Era) String() string {
	if e == Modern {
		return "modern"
	}
	return "legacy"
}

// EraOf reads the era from MCP-Protocol-Version. Revisions are dates, so later ones compare greater. A request without
// the header, or with one that is no date, is legacy: that is how 2025-03-26 and initialize look.
func EraOf(h http.Header) Era {
	v := h.Get(HeaderVersion)
	if len(v) != len(ModernVersion) || v < ModernVersion {
		return Legacy
	}
	for i, c := range []byte(v) {
		if digit := c >= '0' && c <= '9'; digit == (i == 4 || i == 7) || !digit && c != '-' {
			return Legacy
		}
	}
	return Modern
}

// forwarded are the request headers that travel on; all that begin with Mcp- do too. Everything else is ours or
// removed: Knative routes by some headers, and proxies and servers believe others.
var forwarded = map[string]bool{
	"Content-Type": true, "Accept": true, "Last-Event-Id": true, "Traceparent": true, "Tracestate": true,
}

// returned are the response headers that travel back. Content-Length is left to the HTTP library.
var returned = map[string]bool{
	"Content-Type": true, "Cache-Control": true, "X-Accel-Buffering": true, "Retry-After": true, "Allow": true,
	HeaderSession: true,
}

// ForwardRequestHeaders copies the headers of a request that a server may see. Authorization is not among them.
func ForwardRequestHeaders(to, from http.Header) {
	for name, values := range from {
		if rest, found := strings.CutPrefix(name, "Mcp-"); forwarded[name] || found && rest != "" {
			to[name] = values
		}
	}
}

// ForwardResponseHeaders copies the headers of an answer that a client may see.
func ForwardResponseHeaders(to, from http.Header) {
	for name, values := range from {
		if returned[name] {
			to[name] = values
		}
	}
}

// single are the headers that something is decided on: with two of them, another reader could take the other one.
var single = []string{"Authorization", "Content-Type", "Host", "Origin", HeaderVersion, HeaderSession, HeaderMethod, HeaderName, "Last-Event-Id"}

// IsStream tells whether the body under the headers of an answer is a stream of events.
func IsStream(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/event-stream"
}

// EventPrefix begins the ids of events that the shim named in the answer to a call, and ListenPrefix in what a listener hears.
const (
	EventPrefix  = "r1."
	ListenPrefix = "l1."
)

// Resumes tells whether a request of the legacy era takes up the rest of a call's answer whose events the shim named: it
// does not listen to what the server may say (MCP 2025-11-25, transports, "resumability and redelivery").
func Resumes(r *http.Request) bool {
	return r.Method == http.MethodGet && EraOf(r.Header) == Legacy && strings.HasPrefix(r.Header.Get("Last-Event-Id"), EventPrefix)
}

// CheckHeaders refuses a request whose headers are ambiguous or whose body is not plain JSON.
func CheckHeaders(r *http.Request) *Error {
	for _, name := range single {
		if len(r.Header[name]) > 1 {
			return invalid("more than one %s header", name)
		}
	}
	if r.Method != http.MethodPost {
		return nil
	}
	if r.Header.Get("Content-Encoding") != "" {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: CodeInvalidRequest,
			Message: "Send the body without Content-Encoding: it is decided on as it is"}
	}
	if t, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" ||
		params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: CodeInvalidRequest, Message: "Send Content-Type: application/json"}
	}
	return nil
}

// CheckMatch refuses a modern request whose headers are missing or differ from its body: MCP 2026-07-28, transports,
// "standard request headers". Fields missing from the body are the server's to complain about.
func CheckMatch(h http.Header, b Body) *Error {
	if EraOf(h) == Legacy {
		return nil
	}
	if b.Batch {
		return invalid("revision %s has no batches", h.Get(HeaderVersion))
	}
	m := b.Messages[0]
	if m.Kind == Response {
		return invalid("revision %s has no responses from the client", h.Get(HeaderVersion))
	}
	if v, ok := m.Params.MetaVersion.Text(); m.Params.MetaVersion != nil && (!ok || v != h.Get(HeaderVersion)) {
		return m.mismatch("MCP-Protocol-Version", "_meta")
	}
	if method := h.Get(HeaderMethod); method != m.Method || !plain(method) {
		return m.mismatch("Mcp-Method", "method")
	}
	if !m.mirrored() {
		return nil
	}
	if want, ok := m.Target().Name.Text(); ok {
		if got, ok := decodeHeader(h.Get(HeaderName)); !ok || got != want {
			return m.mismatch("Mcp-Name", "name")
		}
	}
	return nil
}

func (m *Message) mismatch(header, field string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: CodeHeaderMismatch, ID: m.ID,
		Message: fmt.Sprintf("The header %s must be present and equal to the body's %s", header, field)}
}

// mirrored tells whether Mcp-Name must be sent for the method.
func (m *Message) mirrored() bool {
	switch m.Method {
	case "tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel":
		return true
	}
	return false
}

// plain tells whether a header value is what everyone reads the same. Other bytes are UTF-8 to us and Latin-1 to Node.js.
func plain(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' })
}

// decodeHeader reads a header value: plain, or written =?base64?…?= (MCP 2026-07-28, transports, "value encoding").
func decodeHeader(v string) (string, bool) {
	if v = textproto.TrimString(v); !plain(v) {
		return "", false
	}
	inner, ok := strings.CutPrefix(v, "=?base64?")
	if !ok {
		return v, true
	}
	if inner, ok = strings.CutSuffix(inner, "?="); !ok {
		return v, true
	}
	b, err := base64.StdEncoding.Strict().DecodeString(inner)
	return string(b), err == nil
}
