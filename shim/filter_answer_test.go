package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// stream is a server that answers with events.
func stream(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

// watch masks one word, refuses another, and fails at a third.
func watch(message string) string {
	switch {
	case strings.Contains(message, "refuse"):
		return `{"accept":false,"reason":"no"}`
	case strings.Contains(message, "fail"):
		return `{}`
	case strings.Contains(message, "twist"):
		return `{"accept":true,"mutated":true,"message":{"jsonrpc":"2.0","id":99,"result":{}}}`
	}
	return mutates("secret", "***")(message)
}

const refusedAnswer = `"error":{"code":-32001,"message":"Refused by a filter: no"}}`

func TestFilteredStreams(t *testing.T) {
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1`
	const failed = `"error":{"code":-32001,"message":"A filter could not check this, so it did not pass. Try again, or tell whoever runs this gateway"}}`
	for name, c := range map[string]struct{ on, sent, want string }{
		"as it came": {"*", ": hello\r\nretry: 5\r\nid: 1\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":1,\"result\":{}}\r\n\r\n", ""},
		"order and ids": {"*", "id: a\ndata: " + progress + ",\"x\":\"secret\"}}\n\n:\n\nid: b\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"n\":12345678901234567890,\"x\":\"secret\"}}\n\n",
			"id: a\ndata: " + progress + ",\"x\":\"***\"}}\n\n:\n\nid: b\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"n\":12345678901234567890,\"x\":\"***\"}}\n\n"},
		"refused":                  {"tools/call", "id: b\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"refuse\"}\n\n", "id: b\ndata: {\"jsonrpc\":\"2.0\",\"id\":1," + refusedAnswer + "\n\n"},
		"failed":                   {"tools/call", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"fail\"}\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":1," + failed + "\n\n"},
		"another id":               {"tools/call", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"twist\"}\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":1," + failed + "\n\n"},
		"a notification":           {"*", "id: a\ndata: " + progress + ",\"refuse\":1}}\n\ndata: " + progress + ",\"refuse\":1}}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n", "id: a\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"},
		"a request of the server":  {"sampling/*", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{\"refuse\":1}}\n\n", ":"},
		"not about notifications":  {"tools/call", "data: " + progress + ",\"refuse\":1}}\n\n", ""},
		"about another tool":       {"tools/call?name=y", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"refuse\"}\n\n", ""},
		"of the tool":              {"tools/call?name=x", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"secret\"}\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"***\"}\n\n"},
		"requests only":            {"tools/call&direction=request", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"refuse\"}\n\n", ""},
		"answers nobody knows":     {"resources/read", "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"refuse\"}\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":7," + refusedAnswer + "\n\n"},
		"what nobody can read":     {"tools/call", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,\"result\":\"secret\"}\n\ndata: x\n\ndata: [\n\n", ":"},
		"what the stream breaks":   {"tools/call", "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"secret\"}\n", ":"},
		"a batch":                  {"*", "data: [" + progress + ",\"refuse\":1}},{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"secret\"}]\n\n", "data: [{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"***\"}]\n\n"},
		"a batch of which nothing": {"*", "data: [" + progress + ",\"refuse\":1}}]\n\n", ":"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFilterServer(t, verdictOf(watch))
			r := newRig(t, stream(c.sent))
			rule := f.rule(t, "f", c.on)
			r.filter(t, rule)
			want := c.want
			if want == "" {
				want = c.sent
			}
			body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`
			if _, got := r.post(t, r.engineer(t), body); got != strings.TrimPrefix(want, ":") && got != want {
				t.Errorf("got %q\nwant %q", got, want)
			}
			if r.records.all() == nil {
				t.Error("there is no record")
			}
		})
	}
}

// Lists are filtered before a filter sees them, and again after it changed them.
func TestFilteredLists(t *testing.T) {
	f := newFilterServer(t, verdictOf(mutates(`get_b`, `merge`)))
	r := newRig(t, answerJSON(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a"},{"name":"get_b"},{"name":"merge"}]}}`))
	r.filter(t, f.rule(t, "f", "tools/list"))
	_, body := r.post(t, r.seller(t), `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if want := `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_a"}]}}`; body != want {
		t.Errorf("got %s", body)
	}
	if asked := f.seen(); len(asked) != 2 || strings.Contains(asked[1], "merge") {
		t.Errorf("the filter saw %q", asked)
	}
}

func TestFilteredBodies(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		kind, sent string
		wantStatus int
		want       string
	}{
		"as it came":         {200, "application/json", ` {"jsonrpc":"2.0", "id":1,"result":{}} `, 200, ` {"jsonrpc":"2.0", "id":1,"result":{}} `},
		"mutated":            {200, "application/json", `{"jsonrpc":"2.0","id":1,"result":"secret"}`, 200, `{"jsonrpc":"2.0","id":1,"result":"***"}`},
		"an error, refused":  {404, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"refuse"}}`, 200, `{"jsonrpc":"2.0","id":1,` + refusedAnswer},
		"an error, mutated":  {404, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"secret"}}`, 404, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"***"}}`},
		"words with a 400":   {400, "text/plain", `secret`, 400, ``},
		"words with a 200":   {200, "application/json", `secret`, 502, `"code":-32000`},
		"nothing":            {202, "", ``, 202, ``},
		"a notification":     {200, "application/json", `{"jsonrpc":"2.0","method":"refuse"}`, 202, ``},
		"too large to check": {200, "application/json", `{"jsonrpc":"2.0","id":1,"result":"` + strings.Repeat("x", 9<<20) + `"}`, 200, "A filter could not check this"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFilterServer(t, verdictOf(watch))
			r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.sent)
			})
			r.chain.forward.CallTimeout = 5 * time.Minute // of a large one, under the race detector
			r.filter(t, f.rule(t, "f", "*&direction=response"))
			resp, body := r.post(t, r.engineer(t), callTool("x"))
			if resp.StatusCode != c.wantStatus || !strings.Contains(body, c.want) || c.want == "" && body != "" || strings.Contains(body, "secret") {
				t.Errorf("%d %.300s", resp.StatusCode, body)
			}
		})
	}
}

// A listener's stream is looked at too; an answer that is delivered on it could be to anything.
func TestFilteredListener(t *testing.T) {
	f := newFilterServer(t, verdictOf(watch))
	r := newRig(t, stream("id: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":\"refuse\"}\n\nid: 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":\"secret\"}\n\n"))
	r.filter(t, f.rule(t, "f", "tools/call?name=other&direction=response"))
	resp, body := r.do(t, r.request(t, "GET", r.engineer(t), ""))
	want := "id: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":\"refuse\"}\n\nid: 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":\"***\"}\n\n"
	if got := strings.TrimSuffix(body, mcp.SilenceComment); resp.StatusCode != 200 || got != want {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
}
