package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"mcpgateway/internal/policy"
)

const extension = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}`

// taskServer hands out tasks in the form of an era, as JSON or a stream, and answers everything about any of them.
func taskServer(modern, stream bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := `{"jsonrpc":"2.0","id":1,"result":{"taskId":"x","status":"completed"}}`
		switch {
		case strings.Contains(string(body), `"tools/call"`) && modern:
			answer = `{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"task-1","status":"working"}}`
		case strings.Contains(string(body), `"tools/call"`):
			answer = `{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"task-1","status":"working"}}}`
		case strings.Contains(string(body), `"tasks/list"`):
			answer = `{"jsonrpc":"2.0","id":1,"result":{"tasks":[{"taskId":"task-1"},{"taskId":"task-2"},{"status":"nameless"}],"nextCursor":"n"}}`
		}
		if !stream {
			answerJSON(answer)(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+answer+"\n\n")
	}
}

func TestTasksBelongToWhoStartedThem(t *testing.T) {
	for _, modern := range []bool{false, true} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("modern %v, stream %v", modern, stream), func(t *testing.T) {
				r := newRig(t, taskServer(modern, stream))
				era, start := "legacy", `{"name":"get_x","task":{"ttl":1000}}`
				if modern {
					era, start = "modern", `{"name":"get_x",`+extension+`}`
				}
				ask := func(token, method, params string) string {
					_, body := r.do(t, r.request(t, "POST", token, message(method, params), eraHeaders(era, method, params)...))
					return body
				}
				alice, bob := r.engineer(t), r.seller(t)
				about := func(method string) string { return ask(alice, method, `{"taskId":"task-1"}`) }
				if got := about("tasks/get"); !strings.Contains(got, "-32602") {
					t.Errorf("before it was started: %s", got)
				}
				if got := ask(alice, "tools/call", start); !strings.Contains(got, "task-1") {
					t.Fatalf("start: %s", got)
				}
				for _, method := range []string{"tasks/get", "tasks/result", "tasks/update", "tasks/cancel"} {
					if got := about(method); !strings.Contains(got, "completed") {
						t.Errorf("%s by its owner: %s", method, got)
					}
					others, unknown := ask(bob, method, `{"taskId":"task-1"}`), ask(bob, method, `{"taskId":"never"}`)
					if others != unknown || !strings.Contains(others, refusedAs(method, modern)) {
						t.Errorf("%s by another: %s, of an unknown one: %s", method, others, unknown)
					}
				}
				if got := ask(bob, "tools/call", start); !strings.Contains(got, "task-1") { // a server that hands out an id twice
					t.Errorf("start: %s", got)
				}
				if got := ask(bob, "tasks/get", `{"taskId":"task-1"}`); !strings.Contains(got, "-32602") {
					t.Errorf("taken over: %s", got)
				}
				for token, want := range map[string]string{alice: `"tasks":[{"taskId":"task-1"}],"nextCursor":"n"`, bob: `"tasks":[],"nextCursor":"n"`} {
					if got := ask(token, "tasks/list", `{}`); !strings.Contains(got, want) {
						t.Errorf("listed: %s, want %s", got, want)
					}
				}
				for token, want := range map[string]string{alice: "completed", bob: "-32602"} {
					if got := ask(token, "subscriptions/listen", `{"notifications":{"taskIds":["task-1"]}}`); !strings.Contains(got, want) {
						t.Errorf("listened to: %s, want %s", got, want)
					}
				}
			})
		}
	}
}

// Only who may still use the tool gets what the task came to.
func TestTaskOfAToolThatIsNoLongerAllowed(t *testing.T) {
	r := newRig(t, taskServer(false, false))
	alice := r.engineer(t)
	r.post(t, alice, message("tools/call", `{"name":"get_x","task":{}}`))
	r.reload(t, policy.Policy{Name: "others", Allow: &policy.Subjects{Groups: []string{"engineering"}}, Servers: []string{"github"}, Tools: []string{"other"}})
	if _, body := r.post(t, alice, message("tasks/result", `{"taskId":"task-1"}`)); !strings.Contains(body, "-32001") {
		t.Errorf("got %s", body)
	}
}

// An answer to who did not say that it knows tasks hands out none, and is not looked into.
func TestTaskThatWasNotAskedFor(t *testing.T) {
	r := newRig(t, taskServer(true, false))
	alice := r.engineer(t)
	if _, body := r.post(t, alice, message("tools/call", `{"name":"get_x"}`)); !strings.Contains(body, "task-1") {
		t.Errorf("the answer is changed: %s", body)
	}
	if _, body := r.post(t, alice, message("tasks/get", `{"taskId":"task-1"}`)); !strings.Contains(body, "-32602") {
		t.Errorf("got %s", body)
	}
}

// Long answers of callers who know tasks pass as they are.
func TestLongAnswerIsNoTask(t *testing.T) {
	long := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 300<<10) + `"}]}}`
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		answerJSON(long)(w, req)
	})
	if resp, body := r.post(t, r.engineer(t), message("tools/call", `{"name":"get_x","task":{}}`)); body != long || resp.ContentLength != int64(len(long)) {
		t.Errorf("got %d bytes of %d, announced as %d", len(body), len(long), resp.ContentLength)
	}
}

func TestNewsOfOtherPeoplesTasks(t *testing.T) {
	const (
		status    = `{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"task-1","status":"working"}}`
		escaped   = `{"jsonrpc":"2.0","method":"notif\u0069cations/tasks","params":{"t\u0061skId":"task-1","status":"completed","result":{}}}`
		related   = `{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"task-1"}}}}`
		unrelated = `{"jsonrpc":"2.0","id":8,"method":"sampling/createMessage","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"mine"}}}}`
		twice     = `{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"x","taskId":"task-1"}}`
		other     = `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hello \u00e9"}}`
	)
	server := taskServer(false, false)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost && req.Header.Get("Mcp-Method") == "" {
			server(w, req)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range []string{status, escaped, related, unrelated, other, twice} {
			_, _ = io.WriteString(w, "data: "+data+"\n\n")
		}
		_, _ = io.WriteString(w, "data: "+status+"\n") // never ended
	})
	alice, bob := r.engineer(t), r.seller(t)
	r.post(t, alice, message("tools/call", `{"name":"get_x","task":{}}`))
	event := func(data ...string) string { return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n" }
	for name, listen := range map[string]func(string) string{
		"GET": func(token string) string {
			_, body := r.do(t, r.request(t, "GET", token, ""))
			return body
		},
		"listen": func(token string) string {
			_, body := r.do(t, r.request(t, "POST", token, message("subscriptions/listen", `{"notifications":{}}`), eraHeaders("modern", "subscriptions/listen", `{}`)...))
			return body
		},
		"call": func(token string) string {
			_, body := r.do(t, r.request(t, "POST", token, message("tools/call", `{"name":"get_x"}`), eraHeaders("modern", "tools/call", `{"name":"get_x"}`)...))
			return body
		},
	} {
		if got, want := listen(alice), event(status, escaped, related, unrelated, other); got != want {
			t.Errorf("%s: its owner gets %s", name, got)
		}
		if got, want := listen(bob), event(unrelated, other); got != want {
			t.Errorf("%s: another gets %s", name, got)
		}
	}
}

// refusedAs is the code that a task of somebody else gets: in the modern revision one method is not there any more.
func refusedAs(method string, modern bool) string {
	if modern && method == "tasks/result" {
		return "-32601"
	}
	return "-32602"
}
