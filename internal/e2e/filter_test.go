package e2e

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/audit"
)

// hook is somebody's webhook: it checks both signatures, keeps what it was sent, and says what the test wants.
type hook struct {
	t      *testing.T
	port   string
	secret []byte // of the standard signature
	say    func(message string) (status int, body string)

	mu   sync.Mutex
	sent []string
	down atomic.Int32 // requests that it still refuses with 503
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newHook(t *testing.T, say func(message string) (int, string)) *hook {
	t.Helper()
	h := &hook{t: t, say: say}
	h.secret, _ = base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	_, h.port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	sum := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age < -time.Minute || age > 5*time.Minute || id == "" {
		h.t.Errorf("id %q, timestamp %q", id, at)
	}
	if got, want := r.Header.Get("X-Obot-Signature-256"), hex.EncodeToString(sum([]byte(hookSecret), string(body))); got != want {
		h.t.Errorf("X-Obot-Signature-256 is %s, want %s", got, want)
	}
	if got, want := r.Header.Get("webhook-signature"), "v1,"+base64.StdEncoding.EncodeToString(sum(h.secret, id+"."+at+"."+string(body))); got != want {
		h.t.Errorf("webhook-signature is %s, want %s", got, want)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		h.t.Errorf("headers %v", r.Header)
	}
	if h.down.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.mu.Lock()
	h.sent = append(h.sent, string(body))
	h.mu.Unlock()
	status, answer := h.say(string(body))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// seen returns what came since it was last called.
func (h *hook) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := h.sent
	h.sent = nil
	return sent
}

// mind replaces words and refuses others, in both directions.
func mind(message string) (int, string) {
	switch {
	case strings.Contains(message, "forbidden"):
		return 403, `{"reason":"no forbidden\nwords"}`
	case strings.Contains(message, "secret"):
		changed := strings.ReplaceAll(message, "secret", "******")
		return 200, `{"accept":true,"mutated":true,"message":` + changed + `,"reason":"masked"}`
	}
	return 204, ""
}

// filtered starts a system whose server "guarded" has the hook look at calls, and "watched" at what the server sends.
func filtered(t *testing.T, h *hook) *system {
	t.Helper()
	command := fmt.Sprintf(`runtime: {command: {exec: %s, args: [-addr, "127.0.0.1:{port}"], http: {}}}, scale: {idle: 5s}`, filepath.Join(programs, "sample-server"))
	where := fmt.Sprintf(`webhook: {url: "http://127.0.0.1:%[1]s/hook", secret: {key: hook}, egress: [{cidr: 127.0.0.1/32, ports: [%[1]s]}]}`, h.port)
	s := startWith(t, `  - {id: guarded, `+command+`, filters: [mind]}
  - {id: watched, `+command+`, filters: [watch]}
`, `  - {name: all, allow: {groups: [engineering]}, servers: [guarded, watched]}
filters:
  - {name: mind, `+where+`, on: ["tools/call?name=echo&direction=request"], mutate: true, timeout: 5s}
  - {name: watch, `+where+`, on: ["tools/call&direction=response", "notifications/*&direction=response"], mutate: true, timeout: 5s}
`)
	for _, server := range []string{"guarded", "watched"} {
		dir := filepath.Join(s.dir, "secrets", server+"-shim")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "hook"), []byte(hookSecret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// judged calls judge with each verdict of filters that a server's audit holds.
func (s *system) judged(server string, judge func(audit.Record, audit.Verdict)) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, ".run", "logs", server, "audit.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var r audit.Record
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Fatal(err)
		}
		for _, v := range r.WebhookStatuses {
			judge(r, v)
		}
	}
}

func (s *system) verdicts(server string) (statuses []string) {
	s.t.Helper()
	s.judged(server, func(_ audit.Record, v audit.Verdict) {
		statuses = append(statuses, v.Type+" "+v.Method+" "+v.Name+" "+v.Status+" "+v.Message)
	})
	return statuses
}

func TestRequestFilter(t *testing.T) {
	h := newHook(t, mind)
	s := filtered(t, h)
	alice := s.token("alice", "guarded", engineering)
	session := s.session("guarded", alice)
	legacy := func(tool, arguments string) (*http.Response, string) {
		return s.do(s.request("POST", "guarded", alice, `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`}}`, "Mcp-Session-Id", session))
	}
	modern := func(tool, arguments string) (*http.Response, string) {
		return s.call("guarded", alice, tool, arguments)
	}
	if left := h.seen(); len(left) != 0 {
		t.Errorf("the hook saw %q of the handshake", left)
	}
	for era, call := range map[string]func(tool, arguments string) (*http.Response, string){"legacy": legacy, "modern": modern} {
		for _, c := range []struct{ tool, arguments, want string }{
			{"echo", `{"message":"a secret 12345678901234567890"}`, "a ****** 12345678901234567890"},
			{"echo", `{"message":"plain"}`, "plain"},
			{"echo", `{"message":"forbidden"}`, `"error":{"code":-32001,"message":"Refused by a filter: no forbidden words"`},
			{"add", `{"a":1,"b":2,"secret":"forbidden"}`, `"text":"3"`},
		} {
			h.down.Store(1)
			resp, body := call(c.tool, c.arguments)
			if resp.StatusCode != 200 || !strings.Contains(body, c.want) {
				t.Errorf("%s, %s %s: %d %s", era, c.tool, c.arguments, resp.StatusCode, body)
			}
			sent := h.seen()
			if asked := c.tool == "echo"; asked != (len(sent) == 1) || asked && !strings.Contains(sent[0], c.arguments) {
				t.Errorf("%s, %s %s: the hook saw %q", era, c.tool, c.arguments, sent)
			}
			h.down.Store(0)
		}
	}
	want := []string{"request tools/call mind mutated masked", "request tools/call mind ok ", "request tools/call mind rejected no forbidden words"}
	s.eventually("the audit holds the verdicts", 5*time.Second, func() bool {
		return strings.Join(s.verdicts("guarded"), "\n") == strings.Join(append(want, want...), "\n")
	})
}

func TestResponseFilter(t *testing.T) {
	h := newHook(t, func(message string) (int, string) {
		if strings.Contains(message, `"progress":7`) {
			return 403, ""
		}
		return mind(message)
	})
	s := filtered(t, h)
	alice := s.token("alice", "watched", engineering)
	session := s.session("watched", alice)
	for _, modern := range []bool{false, true} {
		r := s.request("POST", "watched", alice, `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":0.2},"_meta":{"progressToken":"secret"}}}`, "Mcp-Session-Id", session)
		if modern {
			r = s.request("POST", "watched", alice, `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":0.2},`+strings.Replace(modernMeta, `{`, `{"progressToken":"secret",`, 1)+`}}`,
				"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "slow")
		}
		resp, body := s.do(r)
		var events []string
		for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events = append(events, data)
			}
		}
		if resp.StatusCode != 200 || len(events) != 10 || !strings.Contains(events[9], "slept 0.2 s") || strings.Contains(body, "secret") || strings.Contains(body, `"progress":7`) || !strings.Contains(events[0], `"progressToken":"******"`) {
			t.Errorf("modern %v: %d, %d events %s", modern, resp.StatusCode, len(events), body)
		}
		if sent := h.seen(); len(sent) != 11 {
			t.Errorf("modern %v: the hook saw %d messages: %q", modern, len(sent), sent)
		}
	}
	for text, want := range map[string]string{"a secret": "a ******", "forbidden": `{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Refused by a filter: no forbidden words"`} {
		if resp, body := s.call("watched", alice, "echo", `{"message":"`+text+`"}`); resp.StatusCode != 200 || !strings.Contains(body, want) || strings.Contains(body, "\"text\":\""+text) {
			t.Errorf("%s: %d %s", text, resp.StatusCode, body)
		}
	}
}

// A converter that is killed comes back, beside the same shim and server: no session is lost, no call passes by the filter,
// and one that is sent meanwhile waits.
func TestConverterIsKilled(t *testing.T) {
	h := newHook(t, mind)
	s := filtered(t, h)
	alice := s.token("alice", "guarded", engineering)
	session := s.session("guarded", alice)
	call := func() {
		t.Helper()
		resp, body := s.do(s.request("POST", "guarded", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"secret"}}}`, "Mcp-Session-Id", session))
		if resp.StatusCode != 200 || !strings.Contains(body, "******") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
	call()
	<-time.After(1100 * time.Millisecond) // one that ends in its first second is not started again
	shims := s.processes("shim")
	if len(shims) != 2 {
		t.Fatalf("shims %v; want the shim and its converter", shims)
	}
	for _, pid := range shims {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(b, []byte("webhook")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	call()
	if n := s.starts(); n != 1 {
		t.Errorf("%d groups were started", n)
	}
}
