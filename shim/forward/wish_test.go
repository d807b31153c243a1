package forward

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/state"
)

// Of a batch each request has its own answer, whatever their order, and all that is granted at once is one change of the record.
func TestWishesOfABatch(t *testing.T) {
	body, err := mcp.Parse([]byte(`[{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}},
		{"jsonrpc":"2.0","id":"1","method":"resources/subscribe","params":{"uri":"file:///a"}},
		{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"file:///b"}},
		{"jsonrpc":"2.0","id":3,"method":"resources/unsubscribe","params":{"uri":"file:///c"}},
		{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"x"}},
		{"jsonrpc":"2.0","method":"resources/subscribe","params":{"uri":"file:///of-nobody"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	w, kept := &wishes{of: map[string]state.Change{}}, [][]state.Change{}
	w.keep = func(c []state.Change) { kept = append(kept, c) }
	for i := range body.Messages {
		w.add(&body.Messages[i])
	}
	for _, answer := range []string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`,
		`[{"jsonrpc":"2.0","id":3,"result":{}},{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no"}},{"jsonrpc":"2.0","id":"1","result":{}}]`,
		`no JSON`, ``,
		`{"jsonrpc":"2.0","id":4,"result":{}}`, `{"jsonrpc":"2.0","id":3,"result":{}}`, // it was answered
		`{"jsonrpc":"2.0","id":1,"result":{}}`,
	} {
		w.granted([]byte(answer))
	}
	want := [][]state.Change{{{Kind: state.Unsubscribe, Value: "file:///c"}, {Kind: state.Subscribe, Value: "file:///a"}}, {{Kind: state.Level, Value: "debug"}}}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Error(diff)
	}
}
