package main

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/egress"
	"mcpgateway/internal/egress/egresstest"
	"mcpgateway/internal/logtest"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/forward"
	"mcpgateway/shim/remote"
)

// remoteRig is a server that runs elsewhere: on this machine, under a name that only its resolver knows.
type remoteRig struct {
	*rig
	server *httptest.Server
	conns  atomic.Int32 // made to it
	log    *logtest.Log

	mu    sync.Mutex
	names map[string][]netip.Addr
}

// remoteHost is in the certificate of httptest.
const remoteHost = "example.com"

// newRemote starts a server with TLS, and a shim that reaches it as its egress allows: change may alter what the shim
// is told, and the server before its start.
func newRemote(t *testing.T, h http.HandlerFunc, change func(*forward.Config, *httptest.Server)) *remoteRig {
	t.Helper()
	r := &remoteRig{server: httptest.NewUnstartedServer(h), log: &logtest.Log{}, names: map[string][]netip.Addr{remoteHost: {netip.MustParseAddr("127.0.0.1")}}}
	r.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.conns.Add(1)
		}
	}
	port := r.server.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
	c := forward.Config{Upstream: &url.URL{Scheme: "https", Host: net.JoinHostPort(remoteHost, strconv.Itoa(int(port))), Path: "/mcp"},
		Remote: &remote.Remote{ConnectTimeout: 5 * time.Second, Roots: x509.NewCertPool(), Resolver: egresstest.Resolver(t, r.lookup),
			Egress: []egress.Rule{{Net: netip.MustParsePrefix("127.0.0.1/32"), Ports: []uint16{port}}}}}
	roots := c.Remote.Roots
	if change != nil {
		change(&c, r.server)
	}
	r.server.StartTLS()
	roots.AddCert(r.server.Certificate())
	t.Cleanup(r.server.Close)
	r.rig = newRigTo(t, c)
	r.chain.log = slog.New(slog.NewTextHandler(r.log, nil))
	return r
}

func (r *remoteRig) lookup(name string) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[name]
}

func (r *remoteRig) rename(name string, addresses ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = nil
	for _, a := range addresses {
		r.names[name] = append(r.names[name], netip.MustParseAddr(a))
	}
}

func TestRemote(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	var got []http.Header
	var state tls.ConnectionState
	var host string
	var offered []string
	r := newRemote(t, func(w http.ResponseWriter, req *http.Request) {
		got, state, host = append(got, req.Header.Clone()), *req.TLS, req.Host+" "+req.RequestURI
		w.Header().Set(mcp.HeaderSession, "inner-1")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Alt-Svc", `h3=":443"`)
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		answerJSON(`{"jsonrpc":"2.0","id":1,"result":{}}`)(w, req)
	}, func(_ *forward.Config, s *httptest.Server) {
		s.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			offered = hello.SupportedProtos
			return nil, nil
		}}
	})
	forbidden := []string{"Cookie", "a=b", "X-Forwarded-For", "1.2.3.4", "Forwarded", "for=1.2.3.4", "X-Real-Ip", "1.2.3.4", "Via", "x", "User-Agent", "Claude", "Referer", "https://x", "Origin", "https://gateway.test"}
	resp, body := r.post(t, r.engineer(t), `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`, forbidden...)
	sealed := resp.Header.Get(mcp.HeaderSession)
	if resp.StatusCode != 200 || sealed == "" || strings.Contains(sealed, "inner") {
		t.Fatalf("got %d %s, session %q", resp.StatusCode, body, sealed)
	}
	for _, name := range []string{"Set-Cookie", "Alt-Svc", "Strict-Transport-Security"} {
		if resp.Header.Get(name) != "" {
			t.Errorf("%s came through", name)
		}
	}
	if resp, body := r.post(t, r.engineer(t), callTool("x"), "Mcp-Session-Id", sealed); resp.StatusCode != 200 {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	want := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for i := range got {
		got[i].Del("Content-Length")
		if i > 0 {
			want = want.Clone()
			want["Mcp-Session-Id"] = []string{"inner-1"}
		}
		if d := cmp.Diff(want, got[i]); d != "" {
			t.Errorf("request %d: %s", i, d)
		}
	}
	if d := cmp.Diff([]string{"http/1.1"}, offered); d != "" {
		t.Errorf("offered protocols: %s", d)
	}
	if state.ServerName != remoteHost || state.NegotiatedProtocol != "http/1.1" || state.Version < tls.VersionTLS12 {
		t.Errorf("SNI %q, ALPN %q, version %x", state.ServerName, state.NegotiatedProtocol, state.Version)
	}
	if want := r.server.Listener.Addr().(*net.TCPAddr).Port; host != remoteHost+":"+strconv.Itoa(want)+" /mcp" {
		t.Errorf("asked for %s", host)
	}
	if n := r.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// The shim is ready whether the server is reached or not: no wake calls out.
func TestRemoteIsReady(t *testing.T) {
	r := newRemote(t, answerJSON(`{}`), nil)
	if err := r.chain.forward.Ready(t.Context()); err != nil || r.conns.Load() != 0 {
		t.Errorf("%v, %d connections", err, r.conns.Load())
	}
}

func TestRemoteThatCannotBeReached(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*forward.Config, *httptest.Server)
		says   string // in the log
	}{
		{"not named", func(c *forward.Config, _ *httptest.Server) { c.Remote.Egress = nil }, "loopback address: it is reached only if egress names it, by a network inside 127.0.0.0/8 and its port"},
		{"another port named", func(c *forward.Config, _ *httptest.Server) { c.Remote.Egress[0].Ports = []uint16{443} }, "loopback address"},
		{"another address named", func(c *forward.Config, _ *httptest.Server) {
			c.Remote.Egress[0].Net = netip.MustParsePrefix("127.0.0.2/32")
		}, "loopback address"},
		{"no such name", func(c *forward.Config, _ *httptest.Server) { c.Upstream.Host = "nowhere.test:443" }, "no such host"},
		{"nobody listens", func(c *forward.Config, _ *httptest.Server) {
			c.Upstream.Host, c.Remote.Egress[0].Ports = remoteHost+":1", []uint16{1}
		}, "refused"},
		{"certificate of a stranger", func(c *forward.Config, _ *httptest.Server) { c.Remote.Roots = x509.NewCertPool() }, "unknown authority"},
		{"certificate for another name", func(c *forward.Config, _ *httptest.Server) {
			c.Upstream.Host = strings.Replace(c.Upstream.Host, remoteHost, "other.test", 1)
		}, "not other.test"},
		{"old TLS", func(_ *forward.Config, s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		}, "protocol version"},
		{"plain http to a public name", func(c *forward.Config, _ *httptest.Server) {
			c.Upstream.Scheme, c.Upstream.Host = "http", "public.test:80"
			c.Remote.Egress = append(c.Remote.Egress, egress.Rule{Net: netip.MustParsePrefix("1.1.1.1/32"), Ports: []uint16{80}})
		}, "plain text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reached := false
			r := newRemote(t, func(http.ResponseWriter, *http.Request) { reached = true }, c.change)
			r.rename("other.test", "127.0.0.1")
			r.rename("public.test", "1.1.1.1")
			resp, body := r.post(t, r.engineer(t), callTool("x"))
			if resp.StatusCode != 502 || !strings.Contains(body, "The MCP server cannot be reached") || reached {
				t.Errorf("got %d %s, reached %v", resp.StatusCode, body, reached)
			}
			for _, inside := range []string{"127.", "example.com", "loopback", ".test", "1.1.1.1", "certificate"} {
				if strings.Contains(body, inside) {
					t.Errorf("the caller is told of %s: %s", inside, body)
				}
			}
			if log := r.log.String(); !strings.Contains(log, c.says) {
				t.Errorf("the log does not say %q: %s", c.says, log)
			}
		})
	}
}

// A name that is the server's at first and this machine's afterwards leads nowhere afterwards.
func TestRemoteRebinding(t *testing.T) {
	calls := 0
	r := newRemote(t, func(w http.ResponseWriter, req *http.Request) {
		calls++
		w.Header().Set("Connection", "close")
		answerJSON(`{}`)(w, req)
	}, nil)
	for i, c := range []struct {
		addresses []string
		status    int
	}{
		{[]string{"127.0.0.1"}, 200},
		{[]string{"127.0.0.2"}, 502},
		{[]string{"169.254.169.254"}, 502},
		{[]string{"::1"}, 502},
		{[]string{"127.0.0.2", "127.0.0.1"}, 200}, // the next one
		{[]string{"::1", "10.0.0.1", "127.0.0.1"}, 200},
	} {
		r.rename(remoteHost, c.addresses...)
		if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != c.status {
			t.Errorf("%d, %v: got %d %s", i, c.addresses, resp.StatusCode, body)
		}
	}
	if calls != 3 || r.conns.Load() != 3 {
		t.Errorf("%d calls on %d connections", calls, r.conns.Load())
	}
}

// A remote server's sign-in is not the caller's.
func TestRemoteSignIn(t *testing.T) {
	r := newRemote(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://evil.test/"`)
		w.WriteHeader(http.StatusUnauthorized)
	}, nil)
	if resp, body := r.post(t, r.engineer(t), callTool("x")); resp.StatusCode != 502 || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %s %v", resp.StatusCode, body, resp.Header)
	}
}
