package bridge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

func TestModernShareAChild(t *testing.T) {
	r := newRig(t, "modern", nil)
	first := r.post(call("1", "pid", "", modernMeta), modernHeader).text()
	if second := r.post(call("1", "pid", "", modernMeta), modernHeader).text(); first == "" || first != second {
		t.Errorf("children %q and %q, want one", first, second)
	}
	if own := r.post(call("1", "pid", "", ""), r.session()).text(); own == first {
		t.Error("a session shares the child of the modern era")
	}
	if n := strings.Count(r.log.String(), "era found"); n != 1 {
		t.Errorf("the era was found out %d times", n)
	}
}

func TestModernStatus(t *testing.T) {
	r := newRig(t, "modern", nil)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"result":          {call("1", "pid", "", modernMeta), 200, "result"},
		"invalid params":  {call("1", "no such tool", "", modernMeta), 400, "-32602"},
		"no version":      {call("1", "pid", "", `"io.modelcontextprotocol/clientCapabilities":{}`), 400, "-32602"},
		"no capabilities": {call("1", "pid", "", `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`), 400, "-32602"},
		"batch":           {"[" + call("1", "pid", "", modernMeta) + "]", 400, "-32600"},
		"initialize":      {strings.Replace(initialize, `"capabilities"`, `"_meta":{`+modernMeta+`},"capabilities"`, 1), 404, "-32601"},
		"response":        {`{"jsonrpc":"2.0","id":1,"result":{}}`, 400, "-32600"},
		"notification":    {`{"jsonrpc":"2.0","method":"notifications/x"}`, 202, ""},
	} {
		if got := r.post(c.body, modernHeader); got.status != c.status || !strings.Contains(got.body, c.code) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if got, err := r.do(r.request(t.Context(), method, "", modernHeader)); err != nil || got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %+v, %v", method, got, err)
		}
	}
	later := r.post(call("7", "pid", "", strings.Replace(modernMeta, "2026-07-28", "v999", 1)), "Mcp-Protocol-Version: v999")
	if later.status != 400 || !strings.Contains(later.body, `"supported":["2026-07-28"]`) || !strings.Contains(later.body, `"requested":"v999"`) ||
		!strings.Contains(later.body, `"id":7`) {
		t.Errorf("a revision of the future: %+v", later)
	}
}

// A legacy server's modern clients learn it by a 400 that no modern server gives, and the child that was asked serves the
// session that they begin then.
func TestModernFallsBack(t *testing.T) {
	for _, manner := range []string{"plain", "shy", "greets"} {
		r := newRig(t, manner, nil)
		for range 2 {
			got := r.post(call("5", "pid", "", modernMeta), modernHeader)
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, `"id":5`) || strings.Contains(got.body, "-3202") {
				t.Errorf("%s: %+v", manner, got)
			}
		}
		if got := r.post(call("1", "pid", "", ""), r.session()).text(); got == "" {
			t.Errorf("%s: no session", manner)
		}
		if n := strings.Count(r.log.String(), `"server started"`); n != 1 {
			t.Errorf("%s: %d children started for one session", manner, n)
		}
	}
}

// A subscription is known to the child by our number, and to the client by its own id. Closing the stream cancels it.
func TestModernSubscription(t *testing.T) {
	r := newRig(t, "modern", nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := http.DefaultClient.Do(r.request(ctx, http.MethodPost,
		`{"jsonrpc":"2.0","id":"sub","method":"subscriptions/listen","params":{"_meta":{`+modernMeta+`}}}`, modernHeader))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	e, err := mcp.NewEventReader(resp.Body, 1<<20).Next()
	if err != nil || !strings.Contains(string(e.Data), `"io.modelcontextprotocol/subscriptionId":"sub"`) {
		t.Errorf("acknowledged by %q, %v", e.Data, err)
	}
	cancel()
	// discover was 1, ping 2, listen 3.
	eventually(t, "the child was told", func() bool {
		return r.post(call("1", "cancelled", "", modernMeta), modernHeader).text() == "3"
	})
}

// Log messages do not say whose they are: who else is under way must not get them.
func TestModernLogMessages(t *testing.T) {
	r := newRig(t, "modern", nil)
	logs := modernMeta + `,"io.modelcontextprotocol/logLevel":"info"`
	if all := r.post(call("1", "log", "", logs), modernHeader).messages(); len(all) != 2 || !strings.Contains(all[0], "logged") {
		t.Errorf("alone: %q", all)
	}
	if all := r.post(call("1", "log", "", modernMeta), modernHeader).messages(); len(all) != 1 {
		t.Errorf("not asked for: %q", all)
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	other := make(chan reply, 1)
	go func() {
		got, _ := r.do(r.request(ctx, http.MethodPost, call("2", "sleep", `{"ms":1000}`, logs), modernHeader))
		other <- got
	}()
	eventually(t, "the other is under way", func() bool { return r.bridge.modern.current().underWay() == 1 })
	if all := r.post(call("1", "log", "", logs), modernHeader).messages(); len(all) != 1 {
		t.Errorf("beside another: %q", all)
	}
	if all := (<-other).messages(); len(all) != 1 {
		t.Errorf("the other got %q", all)
	}
}

// A listener is under way for long, and no log message can be about it.
func TestModernLogMessagesBesideAListener(t *testing.T) {
	r := newRig(t, "modern", nil)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := http.DefaultClient.Do(r.request(ctx, http.MethodPost,
		`{"jsonrpc":"2.0","id":"sub","method":"subscriptions/listen","params":{"_meta":{`+modernMeta+`}}}`, modernHeader))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if all := r.post(call("1", "log", "", modernMeta+`,"io.modelcontextprotocol/logLevel":"info"`), modernHeader).messages(); len(all) != 2 || !strings.Contains(all[0], "logged") {
		t.Errorf("beside a listener: %q", all)
	}
}

// What a child says late could be of the caller that it served before.
func TestModernLogMessagesOfManyCallers(t *testing.T) {
	r := newRig(t, "modern", nil)
	logs := modernMeta + `,"io.modelcontextprotocol/logLevel":"info"`
	for i, c := range []struct {
		caller string
		want   int
	}{{"a", 2}, {"a", 2}, {"b", 1}, {"a", 1}} {
		if all := r.post(call("1", "log", "", logs), modernHeader, HeaderCaller+": "+c.caller).messages(); len(all) != c.want {
			t.Errorf("call %d, of %s: %q", i, c.caller, all)
		}
	}
}

// Only in the modern era an error has a status of its own.
func TestStatus(t *testing.T) {
	for failed, want := range map[int]int{0: 200, -32601: 404, -32602: 400, -32020: 400, -32021: 400, -32022: 400, -32603: 200, -32000: 200, 7: 200} {
		if got := (&answer{modern: true}).status(failed); got != want {
			t.Errorf("modern error %d has status %d, want %d", failed, got, want)
		}
		if got := (&answer{}).status(failed); got != http.StatusOK {
			t.Errorf("legacy error %d has status %d", failed, got)
		}
	}
}

func TestEraOf(t *testing.T) {
	for _, c := range []struct {
		name, line string
		failed     int
		want       era
		supported  string
	}{
		{"modern", `{"result":{"supportedVersions":["2025-11-25","2026-07-28"]}}`, 0, eraModern, "[2025-11-25 2026-07-28]"},
		{"later", `{"result":{"supportedVersions":["2027-01-01"]}}`, 0, eraModern, "[2027-01-01]"},
		{"a server of one more message", `{"result":{"supportedVersions":["2025-11-25"]}}`, 0, eraLegacy, "[]"},
		{"a result of something else", `{"result":{"tools":[]}}`, 0, eraLegacy, "[]"},
		{"versions that are none", `{"result":{"supportedVersions":"2026-07-28"}}`, 0, eraLegacy, "[]"},
		{"unknown method", `{}`, mcp.CodeMethodNotFound, eraLegacy, "[]"},
		{"invalid params", `{}`, mcp.CodeInvalidParams, eraLegacy, "[]"},
		{"another revision", `{}`, mcp.CodeVersion, eraModern, "[]"},
		{"a capability", `{}`, mcp.CodeCapability, eraModern, "[]"},
		{"a header", `{}`, mcp.CodeHeaderMismatch, eraModern, "[]"},
	} {
		if got, supported := eraOf(message{line: []byte(c.line), failed: c.failed}); got != c.want || fmt.Sprint(supported) != c.supported {
			t.Errorf("%s: %d %v, want %d %s", c.name, got, supported, c.want, c.supported)
		}
	}
}

func TestTakesStream(t *testing.T) {
	for accept, want := range map[string]bool{"application/json, text/event-stream": true, "text/event-stream": true, "*/*": true,
		"application/json": false, "": false, "text/plain": false} {
		if got := takesStream(&http.Request{Header: http.Header{"Accept": {accept}}}); got != want {
			t.Errorf("%q takes a stream: %v", accept, got)
		}
	}
}

// A cancellation names an id, which could be of anybody's request.
func TestModernCancelNotice(t *testing.T) {
	r := newRig(t, "modern", nil)
	if got := r.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`, modernHeader); got.status != http.StatusAccepted {
		t.Errorf("cancelled: %+v", got)
	}
	if got := r.post(call("1", "cancelled", "", modernMeta), modernHeader); got.status != http.StatusOK || got.text() != "" {
		t.Errorf("the child was told %+v", got)
	}
}
