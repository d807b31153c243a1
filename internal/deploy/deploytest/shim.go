package deploytest

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"mcpgateway/internal/rules"
)

// testShim stands in for the real shim where that is not built: it is configured in the same way, reads what the real
// one reads, says when it is idle as that does, and authenticates nobody.
type testShim struct {
	server   string
	rules    string
	key      ed25519.PublicKey
	upstream *url.URL
	idle     time.Duration

	mu    sync.Mutex
	calls int
	since time.Time // when the last call ended, or the server was ready; nothing is idle before
}

func runShim([]string) error {
	s := &testShim{server: os.Getenv("SHIM_SERVER"), rules: os.Getenv("SHIM_RULES")}
	var err error
	if s.key, err = base64.StdEncoding.DecodeString(os.Getenv("SHIM_RULES_KEY")); err != nil {
		return err
	}
	if s.upstream, err = url.Parse(os.Getenv("SHIM_UPSTREAM")); err != nil {
		return err
	}
	if s.idle, err = time.ParseDuration(os.Getenv("SHIM_IDLE")); err != nil {
		return err
	}
	drain, err := time.ParseDuration(os.Getenv("SHIM_DRAIN"))
	if err != nil {
		return err
	}
	if seal, err := os.ReadFile(os.Getenv("SHIM_SEAL_KEY_FILE")); err != nil || len(seal) != 32 {
		return fmt.Errorf("seal key: %d bytes, %w", len(seal), err)
	}
	if _, err := s.open(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return s.serve(ctx, drain)
}

func (s *testShim) serve(ctx context.Context, drain time.Duration) error {
	network, address, _ := strings.Cut(os.Getenv("SHIM_LISTEN"), ":")
	if network != "unix" {
		network, address = "tcp", os.Getenv("SHIM_LISTEN")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s}
	go server.Serve(l)
	s.waitIdle(ctx)
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return server.Shutdown(ctx) // which unlinks the socket first
}

func (s *testShim) waitIdle(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
		s.mu.Lock()
		idle := s.calls == 0 && !s.since.IsZero() && time.Since(s.since) > s.idle
		s.mu.Unlock()
		if idle {
			return
		}
	}
}

func (s *testShim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		s.ready(w)
		return
	}
	if r.URL.Path != "/mcp-connect/"+s.server {
		http.Error(w, "another server", http.StatusForbidden)
		return
	}
	if rules, err := s.open(); err != nil || len(rules.Policies) == 0 {
		http.Error(w, "nothing is allowed", http.StatusForbidden)
		return
	}
	s.count(1)
	defer s.count(-1)
	_, _ = fmt.Println(`{"call":true}`)
	proxy := httputil.ReverseProxy{Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true}, Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL, p.Out.Host = &url.URL{Scheme: "http", Host: "server", Path: s.upstream.Path}, ""
		p.Out.Header.Del("Authorization")
	}}
	proxy.ServeHTTP(w, r)
}

func (s *testShim) ready(w http.ResponseWriter) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := s.dial(ctx, "", "")
	if err != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	conn.Close()
	s.mu.Lock()
	if s.since.IsZero() {
		s.since = time.Now()
	}
	s.mu.Unlock()
	_, _ = io.WriteString(w, "ready\n")
}

// dial reaches the server, or the bridge on its socket.
func (s *testShim) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.upstream.Scheme == "unix" {
		return new(net.Dialer).DialContext(ctx, "unix", s.upstream.Path)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", s.upstream.Host)
}

func (s *testShim) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls += n
	s.since = time.Now()
}

func (s *testShim) open() (rules.Rules, error) {
	signed, err := os.ReadFile(s.rules)
	if err != nil {
		return rules.Rules{}, err
	}
	r, err := rules.Open(s.key, signed)
	if err == nil && r.Server != s.server {
		err = errors.New("rules for another server")
	}
	return r, err
}

func ignoreTerm() { signal.Ignore(syscall.SIGTERM) }
