package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/telemetry"
)

// life is a shim that serves on a Unix socket until it leaves by itself or is told to.
type life struct {
	*rig
	socket string
	client *http.Client
	stop   context.CancelFunc
	left   chan error
}

func startShim(t *testing.T, idle time.Duration, server http.HandlerFunc) *life {
	t.Helper()
	dir, err := os.MkdirTemp("", "shim") // short: socket paths have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &life{rig: newRig(t, server), socket: filepath.Join(dir, "s"), left: make(chan error, 1)}
	upstream := httptest.NewServer(server)
	t.Cleanup(upstream.Close)
	u, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	t.Cleanup(stop)
	go func() {
		l.left <- proxy(ctx, config{Server: "github", Listen: "unix:" + l.socket, Upstream: u, Rules: l.rulesFile, RulesKey: l.key.Public().(ed25519.PublicKey),
			SealKeys: [][]byte{make([]byte, 32)}, Idle: idle, CallTimeout: time.Minute, Silence: time.Minute, Drain: 5 * time.Second, Telemetry: telemetry.Config{Service: "shim"}}, l.records, slog.New(slog.DiscardHandler))
	}()
	l.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.socket)
	}}}
	for range 1000 {
		if resp, err := l.client.Get("http://shim/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == 200 {
				return l
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("never ready")
	return nil
}

func (l *life) call(t *testing.T, method string) (*http.Response, error) {
	t.Helper()
	req := l.request(t, method, l.engineer(t), callTool("x"))
	req.URL.Host = "shim"
	return l.client.Do(req)
}

func (l *life) expectLeft(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case err := <-l.left:
		if err != nil {
			t.Errorf("left with %v", err)
		}
	case <-time.After(within):
		t.Error("never left")
	}
	if _, err := os.Stat(l.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// Neither a listener nor probes keep a shim, a call does.
func TestIdle(t *testing.T) {
	hold := make(chan struct{})
	l := startShim(t, 300*time.Millisecond, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			return
		}
		<-hold
		answerJSON(`{}`)(w, req)
	})
	done := make(chan error, 1)
	go func() {
		_, err := l.call(t, "POST")
		done <- err
	}()
	listener, err := l.call(t, "GET")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Body.Close()
	probing, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		for probing.Err() == nil {
			if resp, err := l.client.Get("http://shim/readyz"); err == nil {
				_ = resp.Body.Close()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	select {
	case <-l.left:
		t.Fatal("left during a call")
	case <-time.After(time.Second):
	}
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.expectLeft(t, 5*time.Second)
	if b, err := io.ReadAll(listener.Body); err != nil || !strings.Contains(string(b), "shim-silence") {
		t.Errorf("the listener got %q, %v", b, err)
	}
}

// What comes while the shim leaves is either served or finds no address: nobody is left without knowing.
func TestLeavingLosesNoCall(t *testing.T) {
	l := startShim(t, 0, answerJSON(`{}`))
	l.client.Transport.(*http.Transport).DisableKeepAlives = true // the gateway's idle connections never outlive the shim
	results := make(chan error, 100_000)
	calling, stop := context.WithCancel(context.Background())
	for range 8 {
		go func() {
			for calling.Err() == nil {
				resp, err := l.call(t, "POST")
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				var op *net.OpError
				if errors.As(err, &op) && op.Op == "dial" {
					return // it is gone, and nothing was sent
				}
				results <- err
			}
		}()
	}
	for len(results) < 20 {
		time.Sleep(time.Millisecond)
	}
	l.stop()
	l.expectLeft(t, 5*time.Second)
	stop()
	n := len(results)
	for range n {
		if err := <-results; err != nil {
			t.Errorf("a call was lost: %v", err)
		}
	}
	if n < 20 {
		t.Errorf("only %d calls", n)
	}
}

func TestAddressTaken(t *testing.T) {
	l := startShim(t, 0, answerJSON(`{}`))
	u, _ := url.Parse("http://127.0.0.1:1/")
	err := proxy(context.Background(), config{Server: "github", Listen: "unix:" + l.socket, Upstream: u, Rules: l.rulesFile,
		RulesKey: l.key.Public().(ed25519.PublicKey), SealKeys: [][]byte{make([]byte, 32)}, CallTimeout: 1, Silence: 1, Drain: 1, Telemetry: telemetry.Config{Service: "shim"}}, io.Discard, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestReadAuditConfig(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	read := func(more map[string]string) (c auditConfig, problems []string) {
		vars := map[string]string{"SHIM_AUDIT_URL": "https://siem.test/in", "SHIM_AUDIT_SPOOL": "/s"}
		maps.Copy(vars, more)
		c = readAuditConfig(func(name string) string { return vars[name] }, func(name string, err error) {
			if err != nil {
				problems = append(problems, name+": "+err.Error())
			}
		})
		return c, problems
	}
	c, problems := read(map[string]string{"SHIM_AUDIT_SECRET_FILE": file("good", "abc.d-e=\n"), "SHIM_AUDIT_SPOOL_BYTES": "16777216", "SHIM_AUDIT_SECOND": "none"})
	want := auditConfig{URL: "https://siem.test/in", Spool: "/s", SpoolBytes: 16 << 20, Second: "none", Interval: 5 * time.Second}
	if got := c.Credential.Reveal(); got != "abc.d-e=" {
		t.Errorf("the credential is read as %q", got)
	}
	if c.Credential = want.Credential; c != want || problems != nil {
		t.Errorf("%+v, %v", c, problems)
	}
	if c, problems := read(map[string]string{"SHIM_AUDIT_URL": "", "SHIM_AUDIT_SECOND": "x"}); c != (auditConfig{}) || problems != nil {
		t.Errorf("without a sink: %+v, %v", c, problems)
	}
	for name, values := range map[string][]string{"SHIM_AUDIT_SPOOL": {""}, "SHIM_AUDIT_SPOOL_BYTES": {"x", "-1", "1000"}, "SHIM_AUDIT_SECOND": {"file"},
		"SHIM_AUDIT_INTERVAL": {"0s", "x"}, "SHIM_AUDIT_SECRET_FILE": {folder, filepath.Join(folder, "none"), file("empty", "\n"),
			file("long", strings.Repeat("x", maxSecret+1)), file("two", "hunter2\nX-Header: a")}} {
		for _, value := range values {
			if _, problems := read(map[string]string{name: value}); len(problems) != 1 || !strings.HasPrefix(problems[0], name) || strings.Contains(problems[0], "hunter2") {
				t.Errorf("%s=%q: %q", name, value, problems)
			}
		}
	}
}

func TestReadConfig(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"SHIM_SERVER": "github", "SHIM_LISTEN": "unix:/x", "SHIM_UPSTREAM": "http://127.0.0.1:1/mcp", "SHIM_RULES": "/r",
		"SHIM_RULES_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "SHIM_SEAL_KEY_FILE": key, "SHIM_IDLE": "60s"}
	read := func(change ...string) (config, error) {
		return readConfig(func(name string) string {
			for i := 0; i < len(change); i += 2 {
				if change[i] == name {
					return change[i+1]
				}
			}
			return good[name]
		})
	}
	c, err := read()
	if err != nil || c.Idle != time.Minute || c.Silence != 15*time.Second || c.Upstream.Path != "/mcp" {
		t.Fatalf("%+v, %v", c, err)
	}
	if c.Gateway != nil {
		t.Error("without a key, tokens are opened")
	}
	if c, err := read("SHIM_GATEWAY_KEY_FILE", key); err != nil || c.Gateway == nil {
		t.Errorf("with the gateway's key: %v, %v", c.Gateway, err)
	}
	if err := os.WriteFile(key+"t", []byte("notes.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := []string{"SHIM_REVISION", "r", "SHIM_GATEWAY_KEY_FILE", key, "SHIM_AUDIT_URL", "http://127.0.0.1:1/audit",
		"SHIM_AUDIT_SPOOL", "/x", "SHIM_AUDIT_SECRET_FILE", key + "t"}
	if c, err := read(kept...); err != nil || c.Lists == nil || c.Revision != "r" {
		t.Errorf("with lists: %v", err)
	}
	for _, missing := range []string{"SHIM_GATEWAY_KEY_FILE", "SHIM_AUDIT_URL", "SHIM_AUDIT_SECRET_FILE"} {
		if _, err := read(append([]string{missing, ""}, kept...)...); err == nil {
			t.Errorf("lists without %s", missing)
		}
	}
	if err := os.WriteFile(key+"s", make([]byte, 64), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := read("SHIM_SEAL_KEY_FILE", key+"s", "SHIM_SESSIONS", "survive"); err != nil || len(c.SealKeys) != 2 || c.Sessions != sessionsSurvive {
		t.Errorf("two keys: %d, sessions %q, %v", len(c.SealKeys), c.Sessions, err)
	}
	if c, err := read(); err != nil || c.Sessions != sessionsStrict {
		t.Errorf("nothing said of sessions: %q, %v", c.Sessions, err)
	}
	const odd = "/a b/%2e?c#d" // a path is no URL
	if c, err := read("SHIM_UPSTREAM", "unix:"+odd); err != nil || c.Upstream.Scheme != "unix" || c.Upstream.Path != odd {
		t.Errorf("a socket: %+v, %v", c.Upstream, err)
	}
	c, err = read("SHIM_UPSTREAM", "https://mcp.example.com/mcp", "SHIM_EGRESS", "140.82.112.0/20 443")
	if err != nil || c.Upstream.Host != "mcp.example.com" || c.Remote == nil || len(c.Remote.Egress) != 1 || c.Remote.ConnectTimeout <= 0 {
		t.Errorf("a remote: %+v, %v", c, err)
	}
	if c, err = read("SHIM_UPSTREAM", "https://mcp.example.com/mcp", "SHIM_EGRESS", "public"); err != nil || c.Remote == nil || c.Remote.Egress != nil {
		t.Errorf("a public remote: %+v, %v", c, err)
	}
	if c, err = read("SHIM_FILTERS", "pii=/a b/v1.sock,other=/c=d"); err != nil || len(c.Filters) != 2 || c.Filters["pii"] != "/a b/v1.sock" || c.Filters["other"] != "/c=d" {
		t.Errorf("filters: %+v, %v", c.Filters, err)
	}
	for _, upstream := range []string{"unix:/x", "ftp://x/", "https:///x", "https:x", "https://a:b@x/", "https://x/?a", "https://x/?", "https://x/#a"} {
		if _, err := read("SHIM_UPSTREAM", upstream, "SHIM_EGRESS", "public"); err == nil || !strings.Contains(err.Error(), "SHIM_UPSTREAM") {
			t.Errorf("remote %s: %v", upstream, err)
		}
	}
	for _, change := range [][]string{{"SHIM_SERVER", ""}, {"SHIM_UPSTREAM", "http://mcp.example.com:80/"}, {"SHIM_UPSTREAM", "http://10.0.0.1:80/"}, {"SHIM_UPSTREAM", "http://localhost:80/"},
		{"SHIM_UPSTREAM", "https://127.0.0.1:80/"}, {"SHIM_EGRESS", "any"}, {"SHIM_EGRESS", "10.0.0.0/8"}, {"SHIM_UPSTREAM", "unix:"}, {"SHIM_UPSTREAM", "unix:s"}, {"SHIM_UPSTREAM", "https://x/"}, {"SHIM_UPSTREAM", "http://a:b@127.0.0.1:1/"}, {"SHIM_UPSTREAM", "http://127.0.0.1/"}, {"SHIM_UPSTREAM", "http://:80/"}, {"SHIM_UPSTREAM", "http://127.0.0.1:0/"}, {"SHIM_UPSTREAM", "http://]:80"},
		{"SHIM_RULES_KEY", "AAAA"}, {"SHIM_RULES_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAH="}, {"SHIM_SEAL_KEY_FILE", "/nothing"}, {"SHIM_SEAL_KEY_FILE", "/dev/null"}, {"SHIM_GATEWAY_KEY_FILE", "/nothing"}, {"SHIM_GATEWAY_KEY_FILE", key + "s"}, {"SHIM_SESSIONS", "often"}, {"SHIM_GATEWAY_KEY_FILE", "/dev/null"}, {"SHIM_IDLE", "-1s"}, {"SHIM_IDLE", "x"}, {"SHIM_OWNER_ISSUER", "x"},
		{"SHIM_FILTERS", "pii"}, {"SHIM_FILTERS", "=/x"}, {"SHIM_FILTERS", "pii=x"}, {"SHIM_FILTERS", "pii=/x,"}, {"SHIM_FILTERS", "pii=/x,pii=/y"}} {
		if _, err := read(change...); err == nil || !strings.Contains(err.Error(), change[0]) {
			t.Errorf("%v: %v", change, err)
		}
	}
	_, err = readConfig(func(string) string { return "" })
	for _, name := range []string{"SHIM_SERVER", "SHIM_LISTEN", "SHIM_UPSTREAM", "SHIM_RULES", "SHIM_RULES_KEY", "SHIM_SEAL_KEY_FILE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not reported", name)
		}
	}
}
