package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/rules"
)

// echo is an MCP server that answers with what it was sent, headers and all.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct{ ID json.RawMessage }
	_ = json.Unmarshal(body, &m)
	if m.ID == nil {
		m.ID = json.RawMessage("null")
	}
	text, _ := json.Marshal(map[string]any{"name": r.Header.Get("Mcp-Name"), "param": r.Header.Get("Mcp-Param-Region"), "body": string(body)})
	answerJSON(`{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+string(text)+`}`)(w, r)
}

// echoed is the request that echo got; empty where it got none.
func echoed(t *testing.T, answer string) (name, body string) {
	t.Helper()
	var m struct {
		Result struct{ Name, Body string }
	}
	if err := json.Unmarshal([]byte(answer), &m); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return m.Result.Name, m.Result.Body
}

func (r *rig) statuses() (all []string) {
	for _, record := range r.records.all() {
		for _, v := range record.WebhookStatuses {
			all = append(all, v.Name+" "+v.Type+" "+v.Status)
		}
	}
	return all
}

func modernCall(name, arguments string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":` + arguments +
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
}

// Nothing that a filter's server does makes a message pass that the filter did not let pass, unless onError says so.
func TestHostileFilters(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	raw := func(text string) func(http.ResponseWriter, *http.Request, string, string) {
		return func(w http.ResponseWriter, _ *http.Request, _, _ string) { _, _ = io.WriteString(w, text) }
	}
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request, string, string) {
		return func(w http.ResponseWriter, _ *http.Request, id, _ string) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			result(w, id, `"content":[],"structuredContent":`+accepts)
		}
	}
	members := func(text string) func(http.ResponseWriter, *http.Request, string, string) {
		return func(w http.ResponseWriter, _ *http.Request, id, _ string) { result(w, id, text) }
	}
	mutated := func(message string) func(http.ResponseWriter, *http.Request, string, string) {
		return members(`"content":[],"structuredContent":{"accept":true,"mutated":true,"message":` + message + `}`)
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, string, string){
		"nothing": raw(""),
		"HTML": func(w http.ResponseWriter, _ *http.Request, _, _ string) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		},
		"no JSON":              raw("{"),
		"no result":            raw(`{"jsonrpc":"2.0","id":1}`),
		"an error":             raw(`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}`),
		"empty result":         members(``),
		"null":                 members(`"content":[],"structuredContent":null`),
		"isError":              members(`"isError":true,"content":[],"structuredContent":` + accepts),
		"two texts":            members(`"content":[{"type":"text","text":"{\"accept\":true}"},{"type":"text","text":"{\"accept\":true}"}]`),
		"an image":             members(`"content":[{"type":"image","data":"","mimeType":"image/png"}]`),
		"text that is no JSON": members(`"content":[{"type":"text","text":"yes"}]`),
		"structured wins":      members(`"content":[{"type":"text","text":"{\"accept\":true}"}],"structuredContent":{"accept":"yes"}`),
		"accept is text":       members(`"content":[],"structuredContent":{"accept":"true"}`),
		"accept twice":         members(`"content":[],"structuredContent":{"accept":false,"accept":true}`),
		"Accept":               members(`"content":[],"structuredContent":{"Accept":true}`),
		"no accept":            members(`"content":[],"structuredContent":{"mutated":true,"message":{}}`),
		"a task":               members(`"task":{"taskId":"1","status":"working"}`),
		"asks back":            members(`"resultType":"input_required","requestState":"x","inputRequests":{"a":{"method":"roots/list"}}`),
		"another id":           mutated(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}`),
		"the id as text":       mutated(`{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"x"}}`),
		"no id":                mutated(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}`),
		"another method":       mutated(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x"}}`),
		"a response":           mutated(`{"jsonrpc":"2.0","id":1,"result":{}}`),
		"a batch":              mutated(`[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}]`),
		"no JSON-RPC":          mutated(`{"id":1,"method":"tools/call","params":{"name":"x"}}`),
		"ambiguous":            mutated(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","Name":"merge"}}`),
		"too large":            raw(`{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("x", 4<<20) + `"}}`),
		"500":                  status(500),
		"401":                  status(401),
		"404":                  status(404),
		"redirect":             status(307, "Location", "http://169.254.169.254/"),
		"dies":                 func(http.ResponseWriter, *http.Request, string, string) { panic(http.ErrAbortHandler) },
		"hangs":                func(_ http.ResponseWriter, r *http.Request, _, _ string) { hold(r, release) },
		"endless stream":       endless("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n"),
		"endless requests":     endless("data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n\n"),
		"endless line":         endless(strings.Repeat("x", 1000)),
		"a stream that is empty": func(w http.ResponseWriter, _ *http.Request, _, _ string) {
			w.Header().Set("Content-Type", "text/event-stream")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFilterServer(t, answer)
			r := newRig(t, echo)
			for _, onError := range []string{rules.OnErrorReject, rules.OnErrorAccept} {
				rule := f.rule(t, "f", "tools/call&direction=request")
				rule.OnError = onError
				if name == "hangs" || name == "endless requests" { // the latter ends too, but takes a while to
					rule.Timeout = 300 * time.Millisecond
				}
				r.filter(t, rule)
				resp, body := r.post(t, r.engineer(t), callTool("x"))
				_, passed := echoed(t, body)
				if onError == rules.OnErrorAccept && passed != callTool("x") || onError == rules.OnErrorReject &&
					(passed != "" || !strings.Contains(body, `"code":-32001,"message":"A filter could not check this`)) || resp.StatusCode != 200 {
					t.Errorf("onError %s: %d %s", onError, resp.StatusCode, body)
				}
			}
			if diff := cmp.Diff([]string{"f request error", "f request error"}, r.statuses()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func hold(r *http.Request, until <-chan struct{}) {
	select {
	case <-until:
	case <-r.Context().Done():
	}
}

// endless streams until nobody reads any more.
func endless(text string) func(http.ResponseWriter, *http.Request, string, string) {
	return func(w http.ResponseWriter, _ *http.Request, _, _ string) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

func TestFiltersInOrder(t *testing.T) {
	first := newFilterServer(t, verdictOf(mutates("one", "two")))
	// This one answers as older servers do, with the verdict as text.
	second := newFilterServer(t, func(w http.ResponseWriter, _ *http.Request, id, message string) {
		text, _ := json.Marshal(mutates("two", "three")(message))
		result(w, id, `"content":[{"type":"text","text":`+string(text)+`}]`)
	})
	last := newFilterServer(t, verdictOf(func(message string) string {
		if strings.Contains(message, "three") {
			return `{"accept":false,"reason":"three\u0000 is\n too many"}`
		}
		return accepts
	}))
	never := newFilterServer(t, verdictOf(func(string) string { return accepts }))
	r := newRig(t, echo)
	r.filter(t, first.rule(t, "first", "tools/call"), second.rule(t, "second", "*"), last.rule(t, "last", "tools/call?name=x&direction=request"), never.rule(t, "never", "tools/call&direction=request"))
	resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"n":"one"}}}`)
	if resp.StatusCode != 200 || !strings.Contains(body, `"id":"a","error":{"code":-32001,"message":"Refused by a filter: three is too many"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	want := []string{"first request mutated", "second request mutated", "last request rejected"}
	if diff := cmp.Diff(want, r.statuses()); diff != "" {
		t.Error(diff)
	}
	if len(never.seen()) != 0 {
		t.Error("a filter after the refusal was asked")
	}
	if got := last.seen(); len(got) != 1 || !strings.Contains(got[0], "three") {
		t.Errorf("the last was asked %q", got)
	}
}

// What a filter makes of a message is decided on as if the caller had sent it.
func TestMutatedRequests(t *testing.T) {
	meta := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call"}
	for name, c := range map[string]struct {
		pairs  []string
		body   string
		header []string
		want   string // in the answer
		name   string // in the header that the server sees
	}{
		"renamed":             {[]string{`"name":"x"`, `"name":"ü"`}, modernCall("x", "{}"), append(meta, "Mcp-Name", "x"), `\"name\":\"ü\"`, "=?base64?w7w=?="},
		"renamed, legacy":     {[]string{`"name":"x"`, `"name":"y"`}, callTool("x"), nil, `\"name\":\"y\"`, ""},
		"to a forbidden tool": {[]string{`"name":"x"`, `"name":"merge"`}, modernCall("x", "{}"), append(meta, "Mcp-Name", "x"), "no policy lets you use this", ""},
		"lossless":            {[]string{`secret`, `***`}, callTool(`x","_x":12345678901234567890,"arguments":{"a":1.0,"b":"secret"},"z":"`), nil, `\"_x\":12345678901234567890,\"arguments\":{\"a\":1.0,\"b\":\"***\"}`, ""},
		"another revision":    {[]string{"2026-07-28", "2027-01-01"}, modernCall("x", "{}"), append(meta, "Mcp-Name", "x"), "A filter could not check this", ""},
		"an argument that a header repeats": {[]string{"eu-1", "us-1"}, modernCall("x", `{"where":{"region":"eu-1"}}`), append(meta, "Mcp-Name", "x", "Mcp-Param-Region", "eu-1"),
			"A filter could not check this", ""},
		"a header's argument moved": {[]string{"region", "other"}, modernCall("x", `{"where":{"region":"eu-1"}}`), append(meta, "Mcp-Name", "x", "Mcp-Param-Region", "=?base64?ZXUtMQ==?="),
			"A filter could not check this", ""},
		"another argument": {[]string{"secret", "***"}, modernCall("x", `{"where":{"region":"eu-1"},"n":"secret"}`), append(meta, "Mcp-Name", "x", "Mcp-Param-Region", "eu-1"),
			`"param":"eu-1"`, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFilterServer(t, verdictOf(mutates(c.pairs...)))
			r := newRig(t, echo)
			r.filter(t, f.rule(t, "f", "tools/call&direction=request"))
			_, body := r.post(t, r.engineer(t), c.body, c.header...)
			got, _ := echoed(t, body)
			if !strings.Contains(body, c.want) || got != c.name {
				t.Errorf("Mcp-Name %q, %s", got, body)
			}
		})
	}
}

func TestFilterThatMayNotMutate(t *testing.T) {
	f := newFilterServer(t, verdictOf(mutates(`"x"`, `"y"`)))
	r := newRig(t, echo)
	rule := f.rule(t, "f", "*")
	rule.Mutate = false
	r.filter(t, rule)
	if _, body := r.post(t, r.engineer(t), callTool("x")); !strings.Contains(body, "A filter could not check this") {
		t.Error(body)
	}
}

func TestFilteredBatchesAndNotifications(t *testing.T) {
	f := newFilterServer(t, verdictOf(func(message string) string {
		if strings.Contains(message, "refuse") {
			return `{"accept":false,"reason":"no"}`
		}
		return mutates("secret", "***")(message)
	}))
	r := newRig(t, echo)
	r.filter(t, f.rule(t, "f", "*&direction=request"))
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"batch": {`[ {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","secret":1}} , {"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":"2","method":"ping"}]`,
			200, `[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"***\":1}},{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"},{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"method\":\"ping\"}]`},
		"one of a batch": {`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/progress","params":{"refuse":1}},{"jsonrpc":"2.0","id":"2","method":"ping"}]`,
			200, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Refused by a filter: no"`},
		"notification": {`{"jsonrpc":"2.0","method":"notifications/progress","params":{"refuse":1}}`, 403, `"id":null,"error":{"code":-32001,"message":"Refused by a filter: no"`},
		"reply":        {`{"jsonrpc":"2.0","id":3,"result":{"refuse":1}}`, 403, `"error":{"code":-32001`},
		"a good reply": {`{"jsonrpc":"2.0","id":3,"result":{"secret":1}}`, 200, `{\"***\":1}`},
	} {
		resp, body := r.post(t, r.engineer(t), c.body)
		if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

// A filter that forgot its sessions, or was started again, costs no call.
func TestFilterServerIsRestarted(t *testing.T) {
	f := newFilterServer(t, verdictOf(func(string) string { return accepts }))
	r := newRig(t, echo)
	r.filter(t, f.rule(t, "f", "tools/call&direction=request"))
	for i := range 3 {
		if _, body := r.post(t, r.engineer(t), callTool("x")); !strings.Contains(body, "result") {
			t.Errorf("call %d: %s", i, body)
		}
		f.mu.Lock()
		f.forgotten = true
		f.sessions++
		f.mu.Unlock()
	}
	if n := len(f.seen()); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

func TestFiltersUnderLoad(t *testing.T) {
	var calls atomic.Int32
	f := newFilterServer(t, func(w http.ResponseWriter, r *http.Request, id, message string) {
		if calls.Add(1)%10 == 0 {
			panic(http.ErrAbortHandler)
		}
		verdictOf(mutates("secret", "***"))(w, r, id, message)
	})
	r := newRig(t, echo)
	rule := f.rule(t, "f", "tools/call")
	rule.Timeout = time.Minute
	r.filter(t, rule)
	token := r.engineer(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 5 {
				own := fmt.Sprintf("secret-%d-%d", i, j)
				_, body := r.post(t, token, callTool(own))
				if !strings.Contains(body, "A filter could not check this") && !strings.Contains(body, fmt.Sprintf("***-%d-%d", i, j)) || strings.Contains(body, own) {
					t.Errorf("%s: %s", own, body)
				}
			}
		})
	}
	all.Wait()
}
