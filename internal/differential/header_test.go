package differential

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	sdk "github.com/mark3labs/mcp-go/mcp"

	"mcpgateway/internal/mcp"
)

// spellings are ways in which a client may write a name into a header, right and wrong ones.
var spellings = []func(name, other string) string{
	func(name, _ string) string { encoded, _ := sdk.EncodeHeaderValue(name); return encoded },
	func(name, _ string) string { return name },
	func(name, _ string) string {
		return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
	},
	func(name, _ string) string {
		return "=?base64?" + base64.RawStdEncoding.EncodeToString([]byte(name)) + "?="
	},
	func(name, _ string) string {
		return "=?base64?" + base64.URLEncoding.EncodeToString([]byte(name)) + "?="
	},
	func(name, _ string) string {
		return "=?BASE64?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
	},
	func(name, other string) string {
		return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(name)) + other + "?="
	},
	func(name, other string) string { return name + other },
	func(_, other string) string { return other },
	func(_, other string) string { return "=?base64?" + other + "?=" },
	func(_, other string) string { return "=?base64?" + other },
}

// mirrored are the methods whose name stands in Mcp-Name (MCP 2026-07-28, transports; the tasks extension).
var mirrored = map[string]bool{"tools/call": true, "prompts/get": true, "resources/read": true, "tasks/get": true, "tasks/update": true,
	"tasks/cancel": true}

// FuzzHeaders: of a modern request that CheckMatch lets through, everyone reads the method and the name from the
// headers that are in the body, so that whoever routes by headers is not lied to.
func FuzzHeaders(f *testing.F) {
	n := needNode(f)
	for seed := range modern {
		for spelling := range spellings {
			f.Add(byte(seed), []byte{}, byte(spelling), "é=")
		}
	}
	f.Fuzz(func(t *testing.T, seed byte, edits []byte, spelling byte, other string) {
		in := message(modern, seed, []byte(other), edits)
		b, err := mcp.Parse(in)
		if err != nil {
			return
		}
		m := &b.Messages[0]
		h := headers(m)
		name, named := m.Target().Name.Text()
		if named {
			h.Set(mcp.HeaderName, spellings[int(spelling)%len(spellings)](name, other))
		}
		if other == "" || int(spelling) >= len(spellings) {
			h.Set(mcp.HeaderMethod, other)
		}
		if !arrives(h) || mcp.EraOf(h) != mcp.Modern {
			return
		}
		e := mcp.CheckMatch(h, b)
		if count(e == nil); e != nil {
			return
		}
		if got := n.ask(t, 'h', []byte(h.Get(mcp.HeaderMethod))).Header; got != m.Method {
			t.Fatalf("%s\nMcp-Method %q is %q to Node.js", in, h.Get(mcp.HeaderMethod), got)
		}
		if named && mirrored[m.Method] {
			if got := n.ask(t, 'h', []byte(h.Get(mcp.HeaderName))).Header; got != name {
				t.Fatalf("%s\nMcp-Name %q is %q to Node.js", in, h.Get(mcp.HeaderName), got)
			}
			if got, ok := sdk.DecodeHeaderValue(h.Get(mcp.HeaderName)); !ok || got != name {
				t.Fatalf("%s\nMcp-Name %q is %q to mcp-go", in, h.Get(mcp.HeaderName), got)
			}
		}
		checkGo(t, in, h, m)
	})
}

// arrives tells whether net/http lets the values in: no control characters (RFC 9110, section 5.5), and trimmed.
func arrives(h http.Header) bool {
	for _, values := range h {
		for _, v := range values {
			if textproto.TrimString(v) != v || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return false
			}
		}
	}
	return true
}

// The targets would prove nothing if mcp-go refused everything.
func TestMCPGoReads(t *testing.T) {
	read := 0
	for _, seed := range requests {
		b, err := mcp.Parse([]byte(seed))
		if err != nil {
			t.Fatal(err)
		}
		if m := &b.Messages[0]; m.Kind == mcp.Request {
			if got := mcpGo(headers(m), m.Raw); got != nil {
				read++
			} else {
				t.Logf("refused: %s", seed)
			}
		}
	}
	if read < 18 {
		t.Errorf("mcp-go reads %d of the requests", read)
	}
}
