package mcp

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A request as it comes off the wire: what is let through has one value of each header that is decided on, says that
// its body is JSON, and keeps its bytes; and nothing goes on but what is listed.
func FuzzHTTP(f *testing.F) {
	const body = "\r\n\r\n{}"
	for _, head := range []string{
		"POST /mcp-connect/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nMcp-Protocol-Version: 2026-07-28\r\nMcp-Method: ping",
		"POST / HTTP/1.1\r\nHost: a\r\ncontent-type: application/json; charset=\"utf-8\"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: 9",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nAuthorization: Bearer x\r\nauthorization: Bearer y",
		"GET / HTTP/1.1\r\nHost: a\r\nMcp-: 1\r\nMcp: 2\r\nMcpx-A: 3",
		"GET / HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 7\r\nMcp-Session-Id: s1\r\nX-Forwarded-For: b\r\nK-Revision: c\r\nCookie: d",
	} {
		f.Add([]byte(head + body))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return
		}
		again, _ := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		want, wantErr := io.ReadAll(again.Body)
		if got, err := ReadBody(r); err == nil && (wantErr != nil || !bytes.Equal(got, want)) || err != nil && wantErr == nil && len(want) <= MaxBody {
			t.Fatalf("%q: read %q, %v", wire, got, err)
		}
		if CheckHeaders(r) == nil {
			checkTaken(t, r)
		}
		if v := r.Header.Get(HeaderVersion); EraOf(r.Header) == Modern {
			if v < ModernVersion || strings.Trim(v, "0123456789-") != "" || len(v) != 10 {
				t.Fatalf("%q is modern", v)
			}
		} else if date, err := time.Parse("2006-01-02", v); err == nil && !date.Before(time.Date(2026, 7, 28, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("%q is legacy", v)
		}
		to := http.Header{}
		ForwardRequestHeaders(to, r.Header)
		for name := range to {
			switch name {
			case "Content-Type", "Accept", "Last-Event-Id", "Traceparent", "Tracestate":
			default:
				if len(name) <= len("mcp-") || !strings.EqualFold(name[:4], "mcp-") {
					t.Fatalf("%s is forwarded", name)
				}
			}
		}
	})
}

func checkTaken(t *testing.T, r *http.Request) {
	t.Helper()
	for name, values := range r.Header {
		switch strings.ToLower(name) {
		case "authorization", "content-type", "origin", "mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name", "last-event-id":
			if len(values) != 1 {
				t.Fatalf("%s: %q was taken", name, values)
			}
		case "content-encoding":
			if r.Method == http.MethodPost && values[0] != "" {
				t.Fatalf("%s: %q was taken", name, values)
			}
		}
	}
	kind := strings.ToLower(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost && !strings.HasPrefix(kind, "application/json") {
		t.Fatalf("a body of type %q was taken", kind)
	}
	if _, charset, ok := strings.Cut(kind, "charset="); r.Method == http.MethodPost && ok && !strings.HasPrefix(strings.TrimPrefix(charset, `"`), "utf-8") && strings.Trim(charset, `"; `) != "" {
		t.Fatalf("a body in %q was taken", charset)
	}
}
