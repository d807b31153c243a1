package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/logtest"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/telemetry"
)

const public = "https://gateway.test"

// rig is a gateway in front of fake shims that the test writes.
type rig struct {
	*httptest.Server
	gateway  *gateway
	version  *documents.Version // in force at first
	issuer   *identitytest.Issuer
	partner  *identitytest.Issuer
	deployer *fakeDeployer
	audit    *auditLog
}

// auditLog is what the gateway audits.
type auditLog struct{ logtest.Log }

func (l *auditLog) records(t *testing.T) (out []audit.Record) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// fakeDeployer starts instances that are HTTP handlers on Unix sockets, and counts.
type fakeDeployer struct {
	dir     string
	handler http.Handler
	delay   time.Duration
	fail    error

	connState func(net.Conn, http.ConnState)

	ensured, found atomic.Int32

	mu   sync.Mutex
	runs map[deploy.KeyID]*fakeInstance
	n    int
}

type fakeInstance struct {
	deploy.Instance
	server *http.Server
	path   string
}

func (d *fakeDeployer) Ensure(ctx context.Context, key deploy.Key) (deploy.Instance, error) {
	d.ensured.Add(1)
	if key.Server == "" {
		panic("no server asked for")
	}
	time.Sleep(d.delay)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return deploy.Instance{}, d.fail
	}
	if i := d.runs[key.ID()]; i != nil {
		return i.Instance, nil
	}
	d.n++
	path := filepath.Join(d.dir, string(rune('a'+d.n)))
	l, err := net.Listen("unix", path)
	if err != nil {
		return deploy.Instance{}, err
	}
	i := &fakeInstance{deploy.Instance{ID: path, URL: "unix://" + path, Cold: true}, &http.Server{Handler: d.handler, ConnState: d.connState}, path}
	go func() { _ = i.server.Serve(l) }()
	d.runs[key.ID()] = i
	return i.Instance, nil
}

func (d *fakeDeployer) Find(_ context.Context, key deploy.Key) (deploy.Instance, bool, error) {
	d.found.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.runs[key.ID()]
	if i == nil {
		return deploy.Instance{}, false, nil
	}
	return i.Instance, true, nil
}

// sleep stops every instance, as shims do that are idle.
func (d *fakeDeployer) sleep() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.runs {
		_ = i.server.Close()
		_ = os.Remove(i.path)
	}
	clear(d.runs)
}

func newRig(t *testing.T, shim http.HandlerFunc) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{issuer: identitytest.New(t, "main", "https://issuer.test"), partner: identitytest.New(t, "partner", "https://partner.test"),
		deployer: &fakeDeployer{dir: dir, handler: shim, runs: map[deploy.KeyID]*fakeInstance{}}, audit: &auditLog{}}
	t.Cleanup(func() { r.deployer.sleep(); _ = os.RemoveAll(dir) })
	main := r.issuer.Config(t)
	main.Default = true
	platform := &catalog.Platform{PublicURL: public, Hosts: []string{"127.0.0.1"}, Origins: []string{"http://localhost:6274"},
		Issuers: []identity.Issuer{main, r.partner.Config(t)},
		Limits:  catalog.Limits{CallsPerSecond: 1000, Burst: 1000, Streams: 5, InFlight: 100, WakesPerMinute: 1000, CallTimeout: catalog.Duration(10 * time.Second)}}
	entry := func(id string) catalog.Server {
		return catalog.Server{ID: id, Startup: catalog.Startup{Timeout: catalog.Duration(5 * time.Second)}, Scale: catalog.Scale{Idle: catalog.Duration(time.Minute)}}
	}
	entries := &catalog.Catalog{Servers: []catalog.Server{entry("github"), entry("secret"), entry("mine")},
		Policies: []policy.Policy{{Name: "all", Allow: &policy.Subjects{Groups: []string{"engineering"}}, Servers: []string{"github", "mine"}}}}
	entries.Servers[2].Instances.PerUser = true
	r.version, err = documents.New(platform, entries, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if r.gateway, err = newGateway(r.version, r.deployer, &telemetry.Telemetry{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	r.gateway.audit = audit.NewLog(r.audit)
	r.gateway.keepAlive, r.gateway.poll = 100*time.Millisecond, 20*time.Millisecond
	r.Server = httptest.NewServer(r.gateway)
	t.Cleanup(func() {
		r.gateway.leave()
		r.Close()
		_ = r.gateway.detached.Wait(context.Background())
		_ = r.gateway.detached.Close()
	})
	return r
}

func (r *rig) token(t *testing.T, subject, server string) string {
	return r.issuer.Token(t, subject, public+"/mcp-connect/"+server, []string{"engineering"}, nil)
}

// request makes a request for a server as alice; header is name, value, name, value.
func (r *rig) request(t *testing.T, method, server, body string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, r.URL+"/mcp-connect/"+server, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "gateway.test"
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+r.token(t, "alice", server))
	for i := 0; i+1 < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			req.Host = header[i+1]
		case header[i+1] == "":
			req.Header.Del(header[i])
		default:
			req.Header.Set(header[i], header[i+1])
		}
	}
	return req
}

func (r *rig) do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
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

const (
	ping = `{"jsonrpc":"2.0","id":"p","method":"ping"}`
	note = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	echo = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`
)

// answerJSON is a shim that answers everything with {}.
func answerJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}
