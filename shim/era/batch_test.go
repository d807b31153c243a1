package era

import (
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/mcp"
)

// A batch of a client of 2025-03-26 is answered request by request, in its order: what one of them comes to is for that one only.
func TestBatchForAModernServer(t *testing.T) {
	server := &modernServer{answer: func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) {
		switch m.Method {
		case "tools/call":
			event := streamed(w)
			event(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"working"}}`)
			event(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[]}}`, m.ID.Token)
		case "prompts/get":
			http.Error(w, "no", http.StatusInternalServerError)
		case "prompts/list":
			panic(http.ErrAbortHandler)
		default:
			parrot(w, r, m)
		}
	}}
	r := newRig(t, server)
	s := append(r.session(t, "alice"), mcp.HeaderVersion, "2025-03-26")
	a := r.do(t, exchange(t, "alice", `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{}}},
		{"jsonrpc":"2.0","method":"notifications/initialized"},
		{"jsonrpc":"2.0","id":"two","method":"ping"},
		{"jsonrpc":"2.0","id":3,"method":"prompts/get","params":{"name":"a"}},
		{"jsonrpc":"2.0","id":4,"method":"prompts/list"},
		{"jsonrpc":"2.0","id":5,"method":"tools/list"}]`, s...))
	if a.status != 200 || len(a.messages) != 6 {
		t.Fatalf("%d %q", a.status, a.messages)
	}
	for i, want := range []string{
		`"working"`, `"id":1,"result":{"content":[]}`, `"id":"two","result":{}`, `"id":3,"error":{"code":-32000`, `"id":4,"error":{"code":-32000`, `"id":5,"result":{"got"`,
	} {
		if !strings.Contains(a.messages[i], want) {
			t.Errorf("message %d is %s, want %s", i, a.messages[i], want)
		}
	}
	if server.count("POST tools/call")+server.count("POST prompts/get")+server.count("POST prompts/list")+server.count("POST tools/list") != 4 {
		t.Errorf("the server heard %q", server.heard)
	}
	if a := r.do(t, exchange(t, "alice", `[{"jsonrpc":"2.0","method":"notifications/initialized"}]`, s...)); a.status != 202 {
		t.Errorf("one that asks for nothing: %d %q", a.status, a.messages)
	}
}
