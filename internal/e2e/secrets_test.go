package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/audit/audittest"
	"mcpgateway/internal/telemetry/telemetrytest"
)

// No log, trace, metric or audit record of a run holds a secret or a token, whatever was done with them.
func TestNoSecretsInWhatOperatorsSee(t *testing.T) {
	sink, collector, h := audittest.New(t), telemetrytest.New(t), newHook(t, mind)
	sink.Credential = "credential-of-the-sink"
	const exchange = "password-of-the-exchange-client"
	nonsense := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "<html>%s %s", r.Header.Get("Authorization"), text) // all that it was told
	}))
	t.Cleanup(nonsense.Close)
	_, port, _ := net.SplitHostPort(nonsense.Listener.Addr().String())
	s := startAs(t, layout{
		platform: fmt.Sprintf("audit: {url: %q, secret: {key: siem}}\ntelemetry: {collector: %q, percent: 100, scrape: true}\n", sink.URL, collector.URL),
		servers: fmt.Sprintf(`  - id: told
    runtime: {command: {exec: %[1]s, args: [-addr, "127.0.0.1:{port}"], http: {}}}
    scale: {idle: 5s}
    filters: [mind]
    audit: {bodies: full, redact: ["$..password"]}
  - id: broken
    runtime: {command: {exec: %[1]s, args: [-addr, "127.0.0.1:{port}"], http: {}}}
    scale: {idle: 5s}
    token: {exchange: {url: "http://127.0.0.1:%[2]s/token", egress: [{cidr: 127.0.0.1/32, ports: [%[2]s]}], client: {id: shim, secret: {key: exchange}}}}
`, filepath.Join(programs, "sample-server"), port),
		policies: fmt.Sprintf(`  - {name: tellers, allow: {groups: [engineering]}, servers: [told, broken]}
filters:
  - {name: mind, webhook: {url: "http://127.0.0.1:%[1]s/hook", secret: {key: hook}, egress: [{cidr: 127.0.0.1/32, ports: [%[1]s]}]}, on: ["tools/call"], timeout: 5s}
`, h.port),
		secrets: map[string]string{"told-shim/siem": sink.Credential, "broken-shim/siem": sink.Credential, "told-shim/hook": hookSecret, "broken-shim/exchange": exchange},
	})
	told, broken, stranger := s.token("alice", "told", engineering), s.token("alice", "broken", engineering), s.token("carol", "told", "nobody")
	for _, c := range []struct{ server, token, tool, args string }{
		{"told", told, "echo", `{"message":"hello","password":"hunter2"}`},
		{"told", told, "notify", `{"password":"hunter2"}`},        // refused by a policy
		{"told", told, "echo", `{"message":"forbidden"}`},         // by a filter
		{"told", stranger, "echo", `{"message":"hello"}`},         // not admitted
		{"told", told + "x", "echo", `{"message":"hello"}`},       // not signed
		{"broken", broken, "echo", `{"message":"not exchanged"}`}, // the endpoint answers nonsense
	} {
		s.call(c.server, c.token, c.tool, c.args)
	}
	seen := map[string]string{"metrics": s.metricsPages()}
	s.eventually("the shims sleep, and told everything before", 30*time.Second, func() bool { return len(s.status()) == 0 })
	s.eventually("the gateway's traces arrive", 30*time.Second, func() bool { return strings.Contains(string(collector.Bytes()), "/mcp-connect/{id}") })
	records, err := json.Marshal(sink.Records())
	if err != nil {
		t.Fatal(err)
	}
	seen["traces"], seen["records"] = string(collector.Bytes()), string(records)
	for where, wanted := range map[string][]string{"metrics": {"mcp_server_operation_duration_seconds"}, "records": {`"callIdentifier":"notify"`},
		"traces": {"tools/call echo", "tools/call filter", "token exchange"}} {
		for _, want := range wanted {
			if !strings.Contains(seen[where], want) {
				t.Errorf("%s lack %q: they were not looked at", where, want)
			}
		}
	}
	secrets := []string{sink.Credential, exchange, hookSecret, "hunter2", strings.TrimPrefix(hookSecret, "whsec_")}
	for _, token := range []string{told, broken, stranger} {
		secrets = append(secrets, token, token[strings.LastIndex(token, ".")+1:])
	}
	s.noSecretOnDisk(secrets...)
	for where, text := range seen {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s hold %q", where, secret)
			}
		}
	}
}

// sockets are those of that name, of all instances.
func (s *system) sockets(name string) (paths []string) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, ".run"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSocket && strings.Contains(d.Name(), name) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return paths
}

// metricsPages are what the shims tell Prometheus.
func (s *system) metricsPages() string {
	s.t.Helper()
	var all strings.Builder
	for _, path := range s.sockets("metrics") {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}}}
		resp, err := client.Get("http://shim/metrics")
		if err != nil {
			s.t.Errorf("%s: %v", path, err)
			continue
		}
		page, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil {
			s.t.Error(err)
		}
		all.Write(page)
	}
	return all.String()
}
