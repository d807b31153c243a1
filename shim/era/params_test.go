package era

import (
	"net/http"
	"testing"

	"mcpgateway/internal/mcp"
)

// Headers that repeat arguments are checked against them, whether the client listed the tools or not.
func TestArgumentHeadersAreChecked(t *testing.T) {
	server := newLegacyServer(func(w http.ResponseWriter, _ *http.Request, m *mcp.Labelled, _ *legacyServer) {
		if m.Method == "tools/list" {
			result(w, m, `{"tools":[{"name":"x","inputSchema":{"properties":{"s":{"x-mcp-header":"S"},"n":{"x-mcp-header":"N"},"b":{"x-mcp-header":"B"}}}}]}`)
			return
		}
		result(w, m, `{"content":[]}`)
	})
	r := newRig(t, server)
	for _, tc := range []struct {
		arguments string
		header    []string
		status    int
	}{
		{`{}`, []string{"Unknown", "x"}, 200},
		{`{"s":"a","n":42,"b":true}`, []string{"S", "a", "N", "42", "B", "true"}, 200},
		{`{"s":"ä","n":42}`, []string{"S", "=?base64?w6Q=?=", "N", "42.0"}, 200},
		{`{"s":null}`, nil, 200},
		{`{"s":"42"}`, []string{"S", "42.0"}, 400},
		{`{"s":"a"}`, []string{"S", "b"}, 400},
		{`{"s":"a"}`, nil, 400},
		{`{"s":null}`, []string{"S", "a"}, 400},
		{`{}`, []string{"N", "1"}, 400},
		{`{"n":42}`, []string{"N", "43"}, 400},
		{`{"s":"a"}`, []string{"S", "=?base64?!!?="}, 400},
		{`{"b":true}`, []string{"B", "True"}, 400},
	} {
		x := modernExchange(t, "alice", modernBody("1", "tools/call", `"name":"x","arguments":`+tc.arguments, ""))
		for i := 0; i+1 < len(tc.header); i += 2 {
			x.Request.Header.Set(mcp.ParamHeaders+tc.header[i], tc.header[i+1])
		}
		before := server.count("POST tools/call")
		a := r.do(t, x)
		if a.status != tc.status || a.status == 400 && at(t, a.last(), "error", "code") != "-32020" {
			t.Errorf("%s %q: %d %s", tc.arguments, tc.header, a.status, a.last())
		}
		if sent := server.count("POST tools/call") - before; (sent == 1) != (tc.status == 200) {
			t.Errorf("%s %q: sent %d times", tc.arguments, tc.header, sent)
		}
	}
	if n := server.count("POST tools/list"); n != 1 {
		t.Errorf("listed %d times", n)
	}
}
