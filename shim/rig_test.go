package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/logtest"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/telemetry"
	"mcpgateway/shim/authenticate"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/filter"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/observe"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/task"
	"mcpgateway/shim/trail"
	"mcpgateway/shim/wake"
)

const resource = "https://gateway.test/mcp-connect/github"

// rig is a shim in front of an MCP server that the test writes.
type rig struct {
	*httptest.Server
	chain   *chain
	issuer  *identitytest.Issuer
	partner *identitytest.Issuer
	records *records
	log     *logtest.Log // of conditions that cannot be decided
	drain   context.CancelFunc

	holder    ruleset.Config
	rulesFile string
	key       ed25519.PrivateKey
	rules     rules.Rules
}

// records keeps what the audit log wrote.
type records struct {
	mu   sync.Mutex
	list []audit.Record
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range bytes.Lines(p) {
		var rec audit.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return 0, err
		}
		r.list = append(r.list, rec)
	}
	return len(p), nil
}

func (r *records) all() []audit.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]audit.Record(nil), r.list...)
}

func newRig(t testing.TB, server http.HandlerFunc) *rig {
	t.Helper()
	upstream := httptest.NewServer(server)
	t.Cleanup(upstream.Close)
	u, err := url.Parse(upstream.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	return newRigTo(t, forward.Config{Upstream: u})
}

// newRigTo is a rig whose server the test runs itself: of to, it sets where that is.
func newRigTo(t testing.TB, to forward.Config) *rig {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{records: &records{}, key: key, rulesFile: filepath.Join(t.TempDir(), "rules"),
		issuer: identitytest.New(t, "main", "https://issuer.test"), partner: identitytest.New(t, "partner", "https://partner.test")}
	main := r.issuer.Config(t)
	main.Default = true
	r.rules = rules.Rules{Version: 1, Server: "github", Resources: []string{resource}, Issuers: []identity.Issuer{main, r.partner.Config(t)},
		Policies: []policy.Policy{
			{Name: "engineers", Allow: &policy.Subjects{Groups: []string{"engineering"}}, Servers: []string{"github"}},
			{Name: "readers", Allow: &policy.Subjects{Groups: []string{"sales"}}, Servers: []string{"github"}, Tools: []string{"get_*"}},
			{Name: "no-merge", Deny: &policy.Subjects{Anyone: true}, Servers: []string{"github"}, Tools: []string{"merge"}},
		}}
	r.writeRules(t)
	r.holder = ruleset.Config{Server: "github", Path: r.rulesFile, Key: pub, Logger: slog.New(slog.DiscardHandler)}
	holder, err := ruleset.NewHolder(r.holder)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := session.NewSealer("github", make([]byte, session.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	draining, drain := context.WithCancel(context.Background())
	r.drain = drain
	t.Cleanup(drain)
	observer, err := observe.New(&telemetry.Telemetry{})
	if err != nil {
		t.Fatal(err)
	}
	to.Outgoing = observer.Outgoing
	tasks, err := task.NewOwners(task.Config{Max: 100, PerUser: 10, Keep: time.Hour, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	r.log = &logtest.Log{}
	to.Authorize = authorize.Checker{Tasks: tasks, Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	to.Sealer, to.Living = sealer, session.NewLiving()
	to.CallTimeout, to.Silence, to.Draining = 10*time.Second, 300*time.Millisecond, draining
	filters, err := filter.New(filter.Config{Remote: remote.Remote{ConnectTimeout: 5 * time.Second}, Logger: slog.New(slog.DiscardHandler),
		Outgoing: func(ctx context.Context, v audit.Verdict) (context.Context, func(audit.Verdict)) { // a test may set another observer
			return r.chain.observe.Filter(ctx, v)
		}})
	if err != nil {
		t.Fatal(err)
	}
	to.Review = filters.Answers
	f, err := forward.New(to)
	if err != nil {
		t.Fatal(err)
	}
	r.chain = &chain{rules: holder, authenticate: authenticate.Checker{}, authorize: to.Authorize, sealer: sealer, living: to.Living, filters: filters, forward: f,
		calls: wake.NewCounter(0, 0, nil), observe: observer, trail: trail.Lines(r.records), log: slog.New(slog.DiscardHandler)}
	if r.chain.detached, err = detach.NewHolder(time.Minute); err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(r.chain)
	t.Cleanup(func() {
		r.Close()
		drain()
		_ = r.chain.detached.Wait(context.Background())
		_ = r.chain.detached.Close()
	})
	return r
}

func (r *rig) writeRules(t testing.TB) {
	t.Helper()
	signed, err := rules.Sign(r.key, r.rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.rulesFile+".new", signed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.rulesFile+".new", r.rulesFile); err != nil {
		t.Fatal(err)
	}
}

// reload puts policies in force in place of the rig's own.
func (r *rig) reload(t testing.TB, policies ...policy.Policy) {
	t.Helper()
	var err error
	if r.rules.Policies, err = compile.Policies(policies); err != nil {
		t.Fatal(err)
	}
	r.rules.Version++
	r.writeRules(t)
	if r.chain.rules, err = ruleset.NewHolder(r.holder); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) engineer(t testing.TB) string {
	return r.issuer.Token(t, "alice", resource, []string{"engineering"}, nil)
}

func (r *rig) seller(t testing.TB) string {
	return r.issuer.Token(t, "bob", resource, []string{"sales"}, nil)
}

// request makes a POST with body; header is name, value, name, value.
func (r *rig) request(t testing.TB, method, token, body string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, r.URL+"/mcp-connect/github", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func (r *rig) do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func (r *rig) post(t *testing.T, token, body string, header ...string) (*http.Response, string) {
	t.Helper()
	return r.do(t, r.request(t, "POST", token, body, header...))
}

func callTool(name string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `"}}`
}

// answerJSON is a server that answers everything with body.
func answerJSON(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}
