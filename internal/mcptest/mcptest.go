// Package mcptest is what MCP servers of tests have in common.
package mcptest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Discovered answers server/discover as a server of revision 2026-07-28 does (basic/lifecycle). It is false where body asks for
// something else. A server that does not answer it counts as a legacy one, and is asked to begin a session.
func Discovered(w http.ResponseWriter, body []byte) bool {
	var m struct {
		ID     json.RawMessage
		Method string
	}
	if json.Unmarshal(body, &m) != nil || m.Method != "server/discover" {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},`+
		`"serverInfo":{"name":"test","version":"1"}}}`, m.ID)
	return true
}
