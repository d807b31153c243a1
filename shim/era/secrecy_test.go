package era

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
)

// What a server answers may repeat the credential that it was sent: of it nothing gets into an error, which is logged and
// recorded, whatever is wrong with the answer.
func TestAnswersAreNotLogged(t *testing.T) {
	for name, body := range map[string]string{
		"a result":       `{"jsonrpc":"2.0","id":0,"result":{"token":"eyJsecret"}}`,
		"an error":       `{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"eyJsecret"}}`,
		"another method": `{"jsonrpc":"2.0","id":0,"method":"eyJsecret"}`,
		"no message":     `{"eyJsecret":1}`,
		"no JSON":        `eyJsecret`,
	} {
		for _, era := range []mcp.Era{mcp.Modern, mcp.Legacy} {
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, body)
			}))
			x := modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"a"`, ""))
			if era == mcp.Legacy {
				r.note(speaksModern | lacksLegacy)
				x = exchange(t, "alice", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
			}
			a := r.do(t, x)
			fits := name == "a result" && era == mcp.Legacy // it is not looked into
			if (a.err == nil) != fits || a.err != nil && strings.Contains(mcp.AsError(a.err).Error(), "eyJ") {
				t.Errorf("%s, %v: %v", name, era, a.err)
			}
		}
	}
}
