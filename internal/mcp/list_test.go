package mcp

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestFilterLists(t *testing.T) {
	onlyA := func(list, name string) bool { return strings.HasPrefix(name, "a") }
	for _, c := range []struct{ name, in, want string }{
		{"some", `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","x":1.0}, {"name":"b"},{"name":"a2"}],"nextCursor":"n"}}`,
			`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","x":1.0},{"name":"a2"}],"nextCursor":"n"}}`},
		{"all stay", `{"id":1, "result": { "tools" : [ {"name":"a"} ] } }`, `{"id":1, "result": { "tools" : [ {"name":"a"} ] } }`},
		{"none stays", `{"result":{"tools":[{"name":"b"}]}}`, `{"result":{"tools":[]}}`},
		{"uris", `{"result":{"resources":[{"uri":"b","name":"a"},{"uri":"a","name":"b"}]}}`, `{"result":{"resources":[{"uri":"a","name":"b"}]}}`},
		{"templates", `{"result":{"resourceTemplates":[{"uriTemplate":"b/{x}"},{"uriTemplate":"a/{x}"}]}}`, `{"result":{"resourceTemplates":[{"uriTemplate":"a/{x}"}]}}`},
		{"prompts", `{"result":{"prompts":[{"name":"b"},{"name":"a"}]}}`, `{"result":{"prompts":[{"name":"a"}]}}`},
		{"nameless", `{"result":{"tools":[{"title":"a"},7,{"name":7},{"name":"\ud800"},{"name":"a"}]}}`, `{"result":{"tools":[{"name":"a"}]}}`},
		{"escaped", `{"result":{"to\u006fls":[{"n\u0061me":"\u0062"},{"name":"\u0061"}]}}`, `{"result":{"to\u006fls":[{"name":"\u0061"}]}}`},
		{"batch", `[{"result":{"tools":[{"name":"b"}]}},{"result":{"prompts":[{"name":"a"}]}}]`, `[{"result":{"tools":[]}},{"result":{"prompts":[{"name":"a"}]}}]`},
		{"public", `{"result":{"cacheScope":"public","ttlMs":5,"tools":[{"name":"b"}]}}`, `{"result":{"cacheScope":"private","ttlMs":5,"tools":[]}}`},
		{"private", `{"result":{"cacheScope":"private"}}`, `{"result":{"cacheScope":"private"}}`},
		{"twins of a list", `{"Result":{"tools":[{"name":"b"}],"TOOLS":[{"name":"b"},{"name":"a"}],"resource_templates":[{"uriTemplate":"b"}]}}`,
			`{"Result":{"tools":[],"TOOLS":[{"name":"a"}],"resource_templates":[]}}`},
		{"twins of a name", `{"result":{"tools":[{"name":"a","Name":"b"},{"Name":"a"},{"__proto__":{"name":"a"}},{"name":"a","__proto__":{}}],"resourceTemplates":[{"uri_template":"b","uriTemplate":"a"}]}}`,
			`{"result":{"tools":[],"resourceTemplates":[]}}`},
		{"twins of a scope", `{"result":{"CacheScope":"public","cache_scope":"public"}}`, `{"result":{"CacheScope":"private","cache_scope":"private"}}`},
		{"deeper is no list", `{"result":{"structuredContent":{"tools":[{"name":"b"}]}}}`, `{"result":{"structuredContent":{"tools":[{"name":"b"}]}}}`},
		{"notification", `{"method":"x","params":{"tools":[{"name":"b"}]}}`, `{"method":"x","params":{"tools":[{"name":"b"}]}}`},
		{"error", `{"id":1,"error":{"code":1}}`, `{"id":1,"error":{"code":1}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := FilterLists([]byte(c.in), onlyA)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestFilterListsRefuses(t *testing.T) {
	for _, in := range []string{``, `{`, `{"result":{"tools":[{"name":"a","name":"b"}]}}`, `{"result":{},"result":{}}`, `{"__proto__":{"result":{}}}`, `{"result":{"__proto__":{"tools":[]}}}`, "\xef\xbb\xbf{}", `{} x`} {
		if out, err := FilterLists([]byte(in), func(string, string) bool { return true }); err == nil {
			t.Errorf("%q became %q", in, out)
		}
	}
}

func TestIsAnswer(t *testing.T) {
	for in, want := range map[string]bool{
		`{"id":1,"result":{}}`: true, `{"id":1,"error":{}}`: true, `[{"method":"a"},{"id":1,"result":{}}]`: true,
		`{"method":"notifications/progress","params":{"result":1}}`: false, `{"id":1,"method":"ping"}`: false, `{`: true, `7`: true,
		`{"id":1,"Result":{}}`: true, `{"__proto__":{"result":{}}}`: true, `{} {}`: true, "{\"m\":\"\xff\"}": true,
	} {
		if got := IsAnswer([]byte(in)); got != want {
			t.Errorf("%s: got %v", in, got)
		}
	}
}

func thousandTools() []byte {
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`{"name":"tool_%d","description":"does this and that","inputSchema":{"type":"object","properties":{"x":{"type":"string"}}}}`, i))
	}
	return []byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.Join(items, ",") + `]}}`)
}

func BenchmarkFilterLists(b *testing.B) {
	in := thousandTools()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := FilterLists(in, func(_, name string) bool { return name[len(name)-1] != '7' }); err != nil {
			b.Fatal(err)
		}
	}
}

// No item that keep refuses gets through, as any reader sees it, and all that it keeps do.
func FuzzFilterLists(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"}],"cacheScope":"public"}}`))
	f.Add([]byte(`[{"result":{"resources":[{"uri":"b"},{"uri":"a"}]}}]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := FilterLists(in, func(_, name string) bool { return name == "a" })
		if err != nil {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		var m struct {
			Result struct {
				Tools []json.RawMessage `json:"tools"`
			} `json:"result"`
		}
		if json.Unmarshal(out, &m) != nil {
			return
		}
		var exact map[string]json.RawMessage
		if json.Unmarshal(out, &exact) != nil || exact["result"] == nil {
			return
		}
		var result map[string]json.RawMessage
		if json.Unmarshal(exact["result"], &result) != nil || result["tools"] == nil {
			return
		}
		var tools []map[string]any
		if json.Unmarshal(result["tools"], &tools) != nil {
			return
		}
		for _, tool := range tools {
			if tool["name"] != "a" {
				t.Fatalf("%q let through %v", in, tool)
			}
		}
	})
}
