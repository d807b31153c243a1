package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/policy"
)

// methods is every method that a client may send in the revisions 2024-11-05 to 2026-07-28, and an invented one of each
// kind, with params that name something and what then becomes of it: for a user with one tool, "get_a", for one with no
// tool at all but a prompt, and for one whom no policy knows, who gets 403 whatever is asked.
var methodCases = []struct {
	eras, method, params string
	oneTool, noTool      string // ok, or the code of the refusal
}{
	{"legacy", "initialize", `{}`, "ok", "ok"},
	{"modern", "server/discover", `{}`, "ok", "ok"},
	{"legacy modern", "ping", `{}`, "ok", "ok"},
	{"legacy", "logging/setLevel", `{"level":"info"}`, "ok", "ok"},
	{"legacy modern", "tools/list", `{}`, "ok", "ok"},
	{"legacy modern", "prompts/list", `{}`, "ok", "ok"},
	{"legacy modern", "resources/list", `{}`, "ok", "ok"},
	{"legacy modern", "resources/templates/list", `{}`, "ok", "ok"},
	{"legacy modern", "tools/call", `{"name":"get_a"}`, "ok", "-32001"},
	{"legacy modern", "tools/call", `{"name":"get_b"}`, "-32001", "-32001"},
	{"legacy modern", "prompts/get", `{"name":"p"}`, "-32001", "ok"},
	{"legacy modern", "resources/read", `{"uri":"file:///a"}`, "-32001", "-32001"},
	{"legacy", "resources/subscribe", `{"uri":"file:///a"}`, "-32001", "-32001"},
	{"legacy", "resources/unsubscribe", `{"uri":"file:///a"}`, "-32001", "-32001"},
	{"modern", "subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`, "ok", "ok"},
	{"modern", "subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///a"]}}`, "-32001", "-32001"},
	{"modern", "subscriptions/listen", `{"notifications":{"taskIds":["t"]}}`, "-32602", "-32602"},
	{"legacy modern", "completion/complete", `{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}`, "-32001", "ok"},
	{"legacy modern", "completion/complete", `{"ref":{"type":"ref/resource","uri":"file:///{x}"},"argument":{"name":"x","value":""}}`, "-32001", "-32001"},
	{"legacy modern", "tasks/get", `{"taskId":"t"}`, "-32602", "-32602"},
	{"legacy", "tasks/result", `{"taskId":"t"}`, "-32602", "-32602"},
	{"modern", "tasks/result", `{"taskId":"t"}`, "-32601", "-32601"},
	{"legacy modern", "tasks/cancel", `{"taskId":"t"}`, "-32602", "-32602"},
	{"modern", "tasks/update", `{"taskId":"t","inputResponses":{}}`, "-32602", "-32602"},
	{"legacy", "tasks/list", `{}`, "ok", "ok"},
	{"legacy", "notifications/initialized", ``, "ok", "ok"},
	{"legacy modern", "notifications/cancelled", `{"requestId":1}`, "ok", "ok"},
	{"legacy", "notifications/progress", `{"progressToken":1,"progress":1}`, "ok", "ok"},
	{"legacy", "notifications/roots/list_changed", ``, "ok", "ok"},
	{"legacy", "notifications/tasks/status", `{"taskId":"t","status":"working"}`, "ok", "ok"},
	{"legacy modern", "invented/method", `{"name":"get_a"}`, "-32001", "-32001"},
	{"legacy modern", "notifications/invented", `{}`, "-32001", "-32001"},
}

func TestEveryMethod(t *testing.T) {
	var reached []string
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var m struct{ Method string }
		_ = json.Unmarshal(body, &m)
		reached = append(reached, m.Method)
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"prompts":[],"resources":[]}}`)(w, req)
	})
	r.reload(t,
		policy.Policy{Name: "one", Allow: &policy.Subjects{Groups: []string{"one"}}, Servers: []string{"github"}, Tools: []string{"get_a"}},
		policy.Policy{Name: "none", Allow: &policy.Subjects{Groups: []string{"none"}}, Servers: []string{"github"}, Prompts: []string{"p"}})
	for _, c := range methodCases {
		for _, era := range strings.Fields(c.eras) {
			for user, want := range map[string]string{"one": c.oneTool, "none": c.noTool, "stranger": "403"} {
				t.Run(fmt.Sprint(era, " ", c.method, " ", c.params, " ", user), func(t *testing.T) {
					reached = nil
					token := r.issuer.Token(t, user, resource, []string{user}, nil)
					resp, body := r.do(t, r.request(t, "POST", token, message(c.method, c.params), eraHeaders(era, c.method, c.params)...))
					got := fmt.Sprint(resp.StatusCode)
					var answer struct{ Error struct{ Code int } }
					if json.Unmarshal([]byte(body), &answer) == nil && answer.Error.Code != 0 && resp.StatusCode != 403 || want != "403" && answer.Error.Code != 0 {
						got = fmt.Sprint(answer.Error.Code)
					} else if resp.StatusCode == 200 {
						got = "ok"
					}
					if got != want || (len(reached) == 1) != (want == "ok") {
						t.Errorf("%d %s, and the server got %v; want %s", resp.StatusCode, body, reached, want)
					}
					if strings.HasPrefix(want, "-32") && resp.StatusCode != 200 && !strings.HasPrefix(c.method, "notifications/") {
						t.Errorf("refused with HTTP %d", resp.StatusCode)
					}
				})
			}
		}
	}
}

func message(method, params string) string {
	id := `"id":1,`
	if strings.HasPrefix(method, "notifications/") {
		id = ""
	}
	if params != "" {
		params = `,"params":` + params
	}
	return `{"jsonrpc":"2.0",` + id + `"method":"` + method + `"` + params + `}`
}

// eraHeaders are those that make a request modern, where it is.
func eraHeaders(era, method, params string) []string {
	if era == "legacy" {
		return []string{"MCP-Protocol-Version", "2025-11-25"}
	}
	headers := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method}
	var p struct{ Name, URI, TaskID string }
	if json.Unmarshal([]byte(params), &p) == nil && p.Name+p.URI+p.TaskID != "" {
		headers = append(headers, "Mcp-Name", p.Name+p.URI+p.TaskID)
	}
	return headers
}
