package mcp

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadTasks(t *testing.T) {
	for in, want := range map[string][]TaskNews{
		`{"id":1,"jsonrpc":"2.0","result":{"task":{"taskId":"a"}}}`:                                            {{Started: "a"}},
		`{"id":1,"jsonrpc":"2.0","result":{"resultType":"task","taskId":"a"}}`:                                 {{Started: "a"}},
		`{"id":1,"jsonrpc":"2.0","result":{"resultType":"complete","taskId":"a"}}`:                             nil,
		`{"id":1,"jsonrpc":"2.0","result":{"taskId":"a","status":"working"}}`:                                  nil,
		`{"id":1,"jsonrpc":"2.0","result":{"task":{"taskId":7}}}`:                                              nil,
		`{"id":1,"jsonrpc":"2.0","result":{"structuredContent":{"task":{"taskId":"a"}}}}`:                      nil,
		`{"method":"notifications/tasks/status","params":{"taskId":"a"}}`:                                      {{Reported: "a"}},
		`{"method":"notifications/tasks","params":{"taskId":"a"}}`:                                             {{Reported: "a"}},
		`{"method":"notifications/other","params":{"taskId":"a"}}`:                                             nil,
		`{"method":"x","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}}}}`:            {{Related: "a"}},
		`{"result":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}}}}`:                         nil,
		`[{"result":{"task":{"taskId":"a"}}},7,{"method":"notifications/tasks","params":{"taskId":"\u0062"}}]`: {{Started: "a"}, {Reported: "b"}},
		`not JSON at all`: nil, // and nothing in it of tasks
	} {
		if got, err := ReadTasks([]byte(in)); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{`{"taskId":1,"taskId":2}`, `taskId`, `{"a":"\ud800","taskId":}`} {
		if got, err := ReadTasks([]byte(in)); err == nil {
			t.Errorf("%s: got %+v", in, got)
		}
	}
}

func TestMayStartTask(t *testing.T) {
	const capabilities = `"_meta":{"io.modelcontextprotocol/clientCapabilities":`
	for in, want := range map[string]bool{
		`"id":1,"method":"tools/call","params":{"name":"x","task":{"ttl":1}}`:                                              true,
		`"id":1,"method":"tools/call","params":{` + capabilities + `{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}`: true,
		`"id":1,"method":"tools/call","params":{` + capabilities + `{"extensions":{"other":{}}}}}`:                         false,
		`"id":1,"method":"tools/call","params":{` + capabilities + `{"extensions":7}}}`:                                    false,
		`"id":1,"method":"tools/call","params":{"name":"x","arguments":{"task":{}}}`:                                       false,
		`"method":"notifications/x","params":{"task":{}}`:                                                                  false,
	} {
		b, err := Parse([]byte(`{"jsonrpc":"2.0",` + in + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Messages[0].MayStartTask(); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}

// What a client takes for a task's handle, or for news of one, is seen here too.
func FuzzReadTasks(f *testing.F) {
	f.Add([]byte(`{"id":1,"jsonrpc":"2.0","result":{"task":{"taskId":"a"}}}`))
	f.Add([]byte(`{"id":1,"jsonrpc":"2.0","result":{"resultType":"task","taskId":"a"}}`))
	f.Add([]byte(`{"method":"notifications/tasks","params":{"t\u0061skId":"a"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		news, err := ReadTasks(in)
		if err != nil {
			return
		}
		var exact map[string]json.RawMessage
		if json.Unmarshal(in, &exact) != nil {
			return
		}
		var method string
		var params map[string]any
		_ = json.Unmarshal(exact["method"], &method)
		_ = json.Unmarshal(exact["params"], &params)
		id, ok := params["taskId"].(string)
		about := method == "notifications/tasks" && ok && id != ""
		if about && (len(news) != 1 || news[0].Reported != id) && !replaced(id) {
			t.Errorf("%s: a client reads %q, we %+v", in, id, news)
		}
	})
}

// replaced tells whether encoding/json put in a character for what it could not read.
func replaced(s string) bool {
	for _, r := range s {
		if r == '\ufffd' {
			return true
		}
	}
	return false
}
