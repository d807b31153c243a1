package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/telemetry"
)

// lone makes a gateway that nobody can sign in to, and whose deployer must not be asked.
func lone(f *testing.F) *gateway {
	f.Helper()
	platform := &catalog.Platform{PublicURL: public, Hosts: []string{"127.0.0.1:8080"}, Origins: []string{"http://localhost:6274"},
		Issuers: []identity.Issuer{{URL: "https://issuer.test", Audiences: []string{"{resource}"}, Default: true}},
		Limits:  catalog.Limits{CallsPerSecond: 1, Burst: 1, Streams: 1, InFlight: 1, WakesPerMinute: 1, CallTimeout: catalog.Duration(time.Second)}}
	log := slog.New(slog.DiscardHandler)
	version, err := documents.New(platform, &catalog.Catalog{Servers: []catalog.Server{{ID: "github"}}}, nil, log)
	if err != nil {
		f.Fatal(err)
	}
	g, err := newGateway(version, nil, &telemetry.Telemetry{}, log)
	if err != nil {
		f.Fatal(err)
	}
	g.audit = audit.NewLog(io.Discard)
	return g
}

var (
	wellFormed = regexp.MustCompile(`^/mcp-connect/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	token      = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110, section 5.6.2
	metaPath   = "/.well-known/oauth-protected-resource"
)

// Whatever comes off the wire without a token: only hosts and origins of the platform file get more than a 403, only
// well-formed paths a 401, and no answer can be taken for a page or read by a stranger's.
func FuzzRoute(f *testing.F) {
	g := lone(f)
	f.Add([]byte("POST /mcp-connect/github HTTP/1.1\r\nHost: Gateway.test\r\n\r\n"))
	f.Add([]byte("OPTIONS /mcp-connect/x-1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nOrigin: http://LOCALHOST:6274\r\nAccess-Control-Request-Headers: mcp-param-a, x, Mcp-Param-b c\r\n\r\n"))
	f.Add([]byte("GET /.well-known/oauth-protected-resource/mcp-connect/a HTTP/1.1\r\nHost: gateway.test\r\nOrigin: https://evil.test\r\n\r\n"))
	f.Add([]byte("GET http://gateway.test/mcp-connect/a%2f..%2fb HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer a.b.c\r\n\r\n"))
	f.Add([]byte("POST /MCP-Connect/GitHub HTTP/1.1\r\nHost: gateway.test\r\n\r\n"))
	f.Add([]byte("GET //mcp-connect/../healthz?x HTTP/1.1\r\nHost: gateway.test\r\nOrigin: null\r\nOrigin: https://gateway.test\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		checkRoute(t, r, w)
		h := w.Result().Header
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Fatalf("%q: answered with %v", wire, h)
		}
		if kind := h.Get("Content-Type"); w.Body.Len() > 0 && kind != "application/json" && kind != "text/plain" || kind == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: answered %q as %s", wire, w.Body, kind)
		}
		for name := range strings.SplitSeq(h.Get("Access-Control-Allow-Headers"), ",") {
			if name = strings.TrimSpace(name); name != "" && !token.MatchString(name) {
				t.Fatalf("%q: allows the header %q", wire, name)
			}
		}
	})
}

func checkRoute(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	host := strings.ToLower(r.Host)
	ours := host == "gateway.test" || host == "127.0.0.1:8080"
	origins, path := r.Header["Origin"], r.URL.Path
	friendly := len(origins) == 0 || len(origins) == 1 && (strings.EqualFold(origins[0], public) || strings.EqualFold(origins[0], "http://localhost:6274"))
	want := http.StatusNotFound
	switch {
	case strings.HasPrefix(r.URL.EscapedPath(), "/v0.1/servers"):
		if want = w.Code; want == http.StatusOK {
			want = http.StatusUnauthorized
		}
	case r.URL.RawPath != "":
	case wellFormed.MatchString(path) && (!ours || !friendly):
		want = http.StatusForbidden
	case wellFormed.MatchString(path) && r.Method == http.MethodOptions:
		want = http.StatusNoContent
	case wellFormed.MatchString(path):
		want = http.StatusUnauthorized
	case strings.HasPrefix(path, metaPath) && wellFormed.MatchString(path[len(metaPath):]):
		if want = w.Code; !ours {
			want = http.StatusForbidden
		}
	case path == "/healthz", path == "/readyz", path == metaPath:
		want = w.Code
	}
	if w.Code != want && (want != http.StatusUnauthorized || w.Code != http.StatusServiceUnavailable) {
		t.Fatalf("%s %q of %q from %q: answered %d, want %d", r.Method, r.URL, r.Host, origins, w.Code, want)
	}
	open := strings.HasPrefix(path, metaPath)
	if allowed := w.Header().Get("Access-Control-Allow-Origin"); allowed != "" && !open && (len(origins) != 1 || allowed != origins[0] || !friendly || !ours) {
		t.Fatalf("%q may be read from %q", r.URL, allowed)
	}
}

// Whatever a server answers, what leaves is JSON, an event stream or nothing, and only with listed headers.
func FuzzAnswer(f *testing.F) {
	g := lone(f)
	f.Add(uint16(200), "application/json", []byte("{}"), "Set-Cookie", "a=b")
	f.Add(uint16(200), "text/html; charset=utf-8", []byte("<script>"), "Content-Length", "3")
	f.Add(uint16(200), "application/json-seq", []byte("\x1e{}\n"), "X", "x") // RFC 7464: not JSON, and begins like it
	f.Add(uint16(404), "text/plain", []byte("no \xff\"such"), "Location", "x")
	f.Add(uint16(202), "image/svg+xml", []byte{}, "Content-Length", "0")
	f.Add(uint16(200), "TEXT/event-stream; a", []byte("data: x\n\n"), "Mcp-Session-Id", "s")
	f.Fuzz(func(t *testing.T, status uint16, kind string, body []byte, name, value string) {
		wire := fmt.Appendf(nil, "HTTP/1.1 %d OK\r\nContent-Type: %s\r\n%s: %s\r\n\r\n%s", status, kind, name, value, body)
		r := httptest.NewRequest(http.MethodPost, "/mcp-connect/github", nil)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), r)
		if err != nil || resp.StatusCode < 200 || resp.StatusCode > 599 {
			return
		}
		w := httptest.NewRecorder()
		c := newCall(w, r, g.current.Load())
		c.baseHeaders()
		if err := g.answer(c, resp); err != nil {
			if !c.begun {
				g.refuse(c, err)
			}
		}
		h := w.Result().Header
		for name := range h {
			switch name {
			case "Content-Type", "Content-Length", "Cache-Control", "X-Accel-Buffering", "Retry-After", "Allow", "Mcp-Session-Id",
				"Www-Authenticate", "X-Request-Id", "X-Content-Type-Options", "Content-Security-Policy", "Server-Timing":
			default:
				t.Fatalf("%q: %s leaves", wire, name)
			}
		}
		kind, _, _ = strings.Cut(strings.ToLower(h.Get("Content-Type")), ";")
		if kind = strings.TrimSpace(kind); w.Body.Len() > 0 && kind != "application/json" && kind != "text/event-stream" {
			t.Fatalf("%q: %q leaves as %q", wire, w.Body, kind)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Fatalf("%q: answered with %v", wire, h)
		}
	})
}
