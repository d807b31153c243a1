package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/audittest"
)

// startAudited has a sink in the platform file, and servers that keep what each line of YAML says.
func startAudited(t *testing.T, sink *audittest.Sink, servers ...string) *system {
	t.Helper()
	var text strings.Builder
	var names []string
	for i, keep := range servers {
		name := fmt.Sprintf("audited%d", i)
		names = append(names, name)
		fmt.Fprintf(&text, "  - {id: %s, runtime: {command: {exec: %q, args: [-addr, \"127.0.0.1:{port}\"], http: {}}}, scale: {idle: %v}, audit: %s}\n",
			name, filepath.Join(programs, "sample-server"), idle, keep)
	}
	return startAs(t, layout{platform: fmt.Sprintf("audit: {url: %q, secret: {key: siem}}\n", sink.URL), servers: text.String(), policies: fmt.Sprintf("  - {name: audited, allow: {groups: [%s]}, servers: [%s]}\n", engineering, strings.Join(names, ", ")), secrets: map[string]string{
		"audited0-shim/siem": sink.Credential, "audited1-shim/siem": sink.Credential}})
}

// The record of a call is at the sink with all that the catalog wants, and holds no credential.
func TestAuditRecords(t *testing.T) {
	sink := audittest.New(t)
	sink.Credential = "siem-token"
	s := startAudited(t, sink, "{bodies: full, redact: [$.params.arguments.message]}")
	alice := s.token("alice", "audited0", engineering)
	req := s.callRequest("audited0", alice, "echo", `{"message":"hunter2","other":"kept"}`)
	req.Header.Set("User-Agent", "tester/1")
	req.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if resp, body := s.do(req); resp.StatusCode != 200 || !strings.Contains(body, "hunter2") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := s.call("audited0", alice, "notify", `{}`); resp.StatusCode != 200 {
		t.Errorf("refused with %d", resp.StatusCode)
	}
	s.eventually("two records are at the sink", 15*time.Second, func() bool { return len(sink.Records()) >= 2 })
	got := sink.Records()
	first, second := got[0], got[1]
	if first.Outcome != audit.Forwarded || first.Decision != audit.Allowed || first.Policy != "audited" || first.Start != audit.Cold ||
		first.ClientIP != "127.0.0.1" || first.UserAgent != "tester/1" || first.Metadata["clientIP"] == "" || first.Era != "modern" ||
		first.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || first.ResponseBytes == 0 {
		t.Errorf("%+v", first)
	}
	if body := string(first.RequestBody); strings.Contains(body, "hunter2") || !strings.Contains(body, `"other":"kept"`) || !strings.Contains(body, "[redacted]") {
		t.Errorf("request body %s", body)
	}
	if body := string(first.ResponseBody); !strings.Contains(body, "hunter2") { // only what a path names goes
		t.Errorf("response body %s", body)
	}
	if second.Outcome != audit.Refused || second.Decision != audit.Denied || second.Policy != "no-notify" || second.Start != audit.Warm {
		t.Errorf("%+v", second)
	}
	for _, r := range got {
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, alice[len(alice)-20:]) || strings.Contains(text, "siem-token") {
			t.Errorf("a credential is in %s", text)
		}
	}
}

// With the sink down across a sleep, the next start delivers; with required, nothing runs meanwhile.
func TestAuditAcrossASleep(t *testing.T) {
	t.Parallel()
	sink := audittest.New(t)
	sink.Credential = "siem-token"
	s := startAudited(t, sink, "{bodies: none}", "{required: true}")
	alice, strict := s.token("alice", "audited0", engineering), s.token("alice", "audited1", engineering)
	if resp, body := s.call("audited1", strict, "echo", `{"message":"a"}`); resp.StatusCode != 200 {
		t.Fatalf("required, sink up: %d %s", resp.StatusCode, body)
	}
	if n := len(sink.Records()); n != 1 {
		t.Errorf("answered with %d records at the sink", n)
	}
	sink.Set(audittest.Down)
	const calls = 20
	for i := range calls {
		if resp, body := s.call("audited0", alice, "echo", fmt.Sprintf(`{"message":"%d"}`, i)); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if resp, body := s.call("audited1", strict, "echo", `{"message":"b"}`); resp.StatusCode != 500 || !strings.Contains(body, "withheld") {
		t.Errorf("the first that finds out: %d %s", resp.StatusCode, body)
	}
	if resp, body := s.call("audited1", strict, "echo", `{"message":"c"}`); resp.StatusCode != 503 || !strings.Contains(body, "nothing was sent") {
		t.Errorf("the next: %d %s", resp.StatusCode, body)
	}
	s.eventually("all sleep", 30*time.Second, func() bool { return len(s.processes("")) == 0 })
	if n := len(sink.Records()); n != 1 {
		t.Errorf("%d records at a sink that is down", n)
	}
	lines, err := os.ReadFile(filepath.Join(s.dir, ".run", "logs", "audited0", "audit.jsonl"))
	if n := strings.Count(string(lines), "\n"); err != nil || n != calls {
		t.Errorf("the second sink has %d records, %v", n, err)
	}
	sink.Set(audittest.Up)
	for server, token := range map[string]string{"audited0": alice, "audited1": strict} {
		if resp, body := s.call(server, token, "echo", `{"message":"d"}`); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
	const all = 1 + calls + 2 + 2
	s.eventually("all records are at the sink", 15*time.Second, func() bool { return len(sink.Records()) >= all })
	for id, n := range sink.Times() {
		if n != 1 {
			t.Errorf("%s was stored %d times", id, n)
		}
	}
	if n := len(sink.Times()); n != all {
		t.Errorf("%d records, want %d", n, all)
	}
}
