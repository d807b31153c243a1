package differential

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client/transport"
	sdk "github.com/mark3labs/mcp-go/mcp"

	"mcpgateway/internal/mcp"
)

// listed are the arrays of results that are filtered, with what their items are called by.
var listed = map[string]string{"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "tasks": "taskId"}

// FuzzAnswer: of an answer that FilterLists lets through, no reader sees an item but those called "a", and everything
// else is as it was. IsAnswer says what Node.js says, and never no where anybody says yes.
func FuzzAnswer(f *testing.F) {
	n := needNode(f)
	for i, text := range answers {
		f.Add(byte(i), []byte{}, []byte{})
		f.Add(byte(63), []byte(text), []byte{})
		f.Add(byte(i), []byte("b"), []byte{byte(6 * i), byte(i), byte(2 * i), byte(2 + i%4), byte(i), byte(i)})
	}
	f.Fuzz(func(t *testing.T, seed byte, text, edits []byte) {
		in := message(answers, seed, text, edits)
		out, err := mcp.FilterLists(in, func(_, name string) bool { return name == "a" })
		if count(err == nil); err != nil {
			if !mcp.IsAnswer(in) && !n.ask(t, 'a', in).OK {
				t.Fatalf("%s\nis no answer, and yet no JSON", in)
			}
			return
		}
		before, after := n.ask(t, 'a', in), n.ask(t, 'a', out)
		if !before.OK || !after.OK || before.Batch != after.Batch || len(before.Messages) != len(after.Messages) {
			t.Fatalf("%s\nbecame\n%s", in, out)
		}
		answers, twins := false, false
		for i, m := range after.Messages {
			if d := cmp.Diff(before.Messages[i].filtered(), m["all"]); d != "" {
				t.Fatalf("%s\nbecame\n%s\n(-want +got):\n%s", in, out, d)
			}
			for list, names := range m["names"].(map[string]any) {
				for _, name := range names.([]any) {
					seen(t, in, out, "Node.js", list, name)
				}
			}
			if scope, ok := m["scope"]; ok && scope != "private" {
				t.Fatalf("%s\nbecame\n%s\nwhich anyone may cache", in, out)
			}
			answers, twins = answers || m["answers"] == true, twins || m.twin()
		}
		if got := mcp.IsAnswer(in); got != answers && (!got || !twins) {
			t.Fatalf("%s\nis an answer: %v, to Node.js: %v", in, got, answers)
		}
		seenByGo(t, in, out)
	})
}

// seen fails where a reader sees an item that is not called "a".
func seen(t *testing.T, in, out []byte, who, list string, name any) {
	t.Helper()
	if name != "a" {
		t.Fatalf("%s\nbecame\n%s\nwhere %s sees %v in %s", in, out, who, name, list)
	}
}

// filtered is what should be left of an answer: the reference that FilterLists is compared with.
func (r reading) filtered() any {
	m, ok := r["all"].(map[string]any)
	if !ok {
		return r["all"]
	}
	for name, v := range m {
		result, ok := v.(map[string]any)
		if !ok || !same(name, "result") {
			continue
		}
		for name := range result {
			if same(name, "cacheScope") {
				result[name] = "private"
			}
			for list, called := range listed {
				if items, ok := result[name].([]any); ok && same(name, list) {
					result[name] = filtered(items, called)
				}
			}
		}
	}
	return m
}

// twin tells whether somebody else than Node.js may take the message for an answer.
func (r reading) twin() bool {
	m, _ := r["all"].(map[string]any)
	for name := range m {
		if same(name, "result") || same(name, "error") {
			return true
		}
	}
	return false
}

func filtered(items []any, called string) []any {
	kept := []any{}
	for _, item := range items {
		object, _ := item.(map[string]any)
		keep := object[called] == "a"
		for name := range object {
			keep = keep && (name == called || !same(name, called)) && name != "__proto__"
		}
		if keep {
			kept = append(kept, item)
		}
	}
	return kept
}

// seenByGo reads the lists as programs in Go do, which ignore the case of names, and as mcp-go's client does.
func seenByGo(t *testing.T, in, out []byte) {
	t.Helper()
	messages := []json.RawMessage{out}
	_ = json.Unmarshal(out, &messages) // a batch
	for _, m := range messages {
		var loose struct {
			Result json.RawMessage
			Error  json.RawMessage
		}
		var response transport.JSONRPCResponse
		if json.Unmarshal(m, &loose) == nil {
			seenLoosely(t, in, out, loose.Result)
			if !mcp.IsAnswer(in) && (loose.Result != nil || loose.Error != nil) {
				t.Fatalf("%s\nis no answer to us, but to encoding/json", in)
			}
		}
		if json.Unmarshal(m, &response) == nil {
			seenByClient(t, in, out, response.Result)
		}
	}
}

func seenLoosely(t *testing.T, in, out []byte, text json.RawMessage) {
	t.Helper()
	var result struct {
		Tools, Prompts, Resources, ResourceTemplates json.RawMessage

		Snake      json.RawMessage `json:"resource_templates"`
		CacheScope any
		SnakeScope any `json:"cache_scope"`
	}
	read(text, &result)
	for _, scope := range []any{result.CacheScope, result.SnakeScope} {
		if scope != nil && scope != "private" {
			t.Fatalf("%s\nbecame\n%s\nwhich encoding/json may cache for all", in, out)
		}
	}
	for list, text := range map[string]json.RawMessage{"tools": result.Tools, "prompts": result.Prompts} {
		var items []struct{ Name any }
		read(text, &items)
		for _, item := range items {
			seen(t, in, out, "encoding/json", list, item.Name)
		}
	}
	var resources []struct{ URI any }
	read(result.Resources, &resources)
	for _, item := range resources {
		seen(t, in, out, "encoding/json", "resources", item.URI)
	}
	for _, text := range []json.RawMessage{result.ResourceTemplates, result.Snake} {
		var templates []struct {
			URITemplate any
			Snake       any `json:"uri_template"`
		}
		read(text, &templates)
		for _, item := range templates {
			if seen(t, in, out, "encoding/json", "resourceTemplates", item.URITemplate); item.Snake != nil {
				seen(t, in, out, "the Python SDK", "resourceTemplates", item.Snake)
			}
		}
	}
}

func seenByClient(t *testing.T, in, out []byte, text json.RawMessage) {
	t.Helper()
	var tools sdk.ListToolsResult
	if json.Unmarshal(text, &tools) == nil {
		for _, item := range tools.Tools {
			seen(t, in, out, "mcp-go", "tools", item.Name)
		}
	}
	var prompts sdk.ListPromptsResult
	if json.Unmarshal(text, &prompts) == nil {
		for _, item := range prompts.Prompts {
			seen(t, in, out, "mcp-go", "prompts", item.Name)
		}
	}
	var resources sdk.ListResourcesResult
	if json.Unmarshal(text, &resources) == nil {
		for _, item := range resources.Resources {
			seen(t, in, out, "mcp-go", "resources", item.URI)
		}
	}
	var templates sdk.ListResourceTemplatesResult
	if json.Unmarshal(text, &templates) == nil {
		for _, item := range templates.ResourceTemplates {
			if item.URITemplate == nil || item.URITemplate.Template == nil {
				t.Fatalf("%s\nbecame\n%s\nwhere mcp-go sees a template without a name", in, out)
			}
			seen(t, in, out, "mcp-go", "resourceTemplates", item.URITemplate.Raw())
		}
	}
}
