package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/egress"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/socket"
	"mcpgateway/shim/filter"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/webhook"
)

// BenchmarkFilters is a call through the whole chain over HTTP: without filters, with one that selects nothing of it, and
// with one that accepts it: a converter behind its socket, whose webhook answers 204. The converter runs in this process,
// so its work counts too.
func BenchmarkFilters(b *testing.B) {
	r := newRig(b, answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`))
	path := converter(b)
	stage, err := filter.New(filter.Config{Sockets: map[string]string{"f": path}, Remote: remote.Remote{ConnectTimeout: time.Second}, Logger: slog.New(slog.DiscardHandler),
		Outgoing: func(ctx context.Context, _ audit.Verdict) (context.Context, func(audit.Verdict)) {
			return ctx, func(audit.Verdict) {}
		}})
	if err != nil {
		b.Fatal(err)
	}
	r.chain.filters = stage
	token := r.engineer(b)
	for _, c := range []struct {
		name string
		on   []string
	}{
		{"none", nil}, {"unselected", []string{"resources/read&direction=request", "tools/call?name=create_*&direction=request"}}, {"accepting", []string{"tools/call&direction=request"}},
	} {
		var filters []rules.Filter
		if c.on != nil {
			filters = []rules.Filter{{Name: "f", On: c.on, Timeout: 10 * time.Second, OnError: rules.OnErrorReject}}
		}
		r.filter(b, filters...)
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				resp, err := http.DefaultClient.Do(r.request(b, "POST", token, callTool("x")))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					b.Fatal(resp.StatusCode, err)
				}
				_ = resp.Body.Close()
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		})
	}
}

// converter serves a webhook that accepts, behind a socket.
func converter(b *testing.B) string {
	b.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	b.Cleanup(hook.Close)
	u, err := url.Parse(hook.URL)
	if err != nil {
		b.Fatal(err)
	}
	at := netip.MustParseAddrPort(u.Host)
	h, err := webhook.New(webhook.Config{URL: u, Timeout: 10 * time.Second, Secret: []byte("key"), Logger: slog.New(slog.DiscardHandler),
		Remote: &remote.Remote{ConnectTimeout: time.Second, Egress: []egress.Rule{{Net: netip.PrefixFrom(at.Addr(), 32), Ports: []uint16{at.Port()}}}}})
	if err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "shim") // short: socket paths have 104 bytes
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	var l net.Listener
	if l, err = socket.Listen(filepath.Join(dir, "f")); err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}
