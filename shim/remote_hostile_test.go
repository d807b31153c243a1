package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpgateway/shim/forward"
)

// What a remote server cannot do: keep a caller for longer than a call may take, and pass half an answer for whole.
func TestHostileRemote(t *testing.T) {
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	drip := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			for i := 0; ; i++ {
				if _, err := io.WriteString(c, text[min(i, len(text)-1):min(i, len(text)-1)+1]); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	reset := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, text)
			time.Sleep(50 * time.Millisecond) // the text is there before the reset
			_ = c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
			_ = c.(*tls.Conn).NetConn().Close()
		}
	}
	const begun = "HTTP/1.1 200 OK\r\nContent-Type: "
	for _, c := range []struct {
		name      string
		serve     func(net.Conn) // after the handshake
		handshake func(net.Conn) // in its place
		status    int            // 0: the answer breaks off
		alpn      string         // the one protocol it speaks
	}{
		{"handshake never ends", nil, silent, 502, ""},
		{"handshake of garbage", nil, func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("garbage", 10_000)) }, 502, ""},
		{"ends at once", nil, func(c net.Conn) { _ = c.Close() }, 502, ""},
		{"never answers", silent, nil, 504, ""},
		{"slow status line", drip("HTTP/1.1 200 OK                "), nil, 504, ""},
		{"slow headers", drip("HTTP/1.1 200 OK\r\nX: yyyyyyy"), nil, 504, ""},
		{"slow body", drip(begun + "application/json\r\n\r\n{ "), nil, 0, ""},
		{"slow events", drip(begun + "text/event-stream\r\n\r\n: "), nil, 0, ""},
		{"reset before the answer", reset(""), nil, 502, ""},
		{"reset in the headers", reset(begun), nil, 502, ""},
		{"reset in the body", reset(begun + "application/json\r\nContent-Length: 100\r\n\r\n{"), nil, 0, ""},
		{"reset in the stream", reset(begun + "text/event-stream\r\n\r\ndata: {}\n\n"), nil, 0, ""},
		{"not TLS", nil, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") }, 502, ""},
		{"another protocol only", func(net.Conn) { t.Error("it was agreed on") }, nil, 502, "spdy/3"},
		{"HTTP/2 frames", func(c net.Conn) {
			_, _ = c.Write([]byte("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"))
		}, nil, 502, ""},
		{"switches protocols", reset("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), nil, 502, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			port := l.Addr().(*net.TCPAddr).AddrPort().Port()
			r := newRemote(t, nil, func(f *forward.Config, _ *httptest.Server) {
				f.Upstream.Host = net.JoinHostPort(remoteHost, strconv.Itoa(int(port)))
				f.Remote.Egress[0].Ports = []uint16{port}
				f.Remote.ConnectTimeout = 500 * time.Millisecond
			})
			r.chain.forward.CallTimeout = time.Second
			if c.handshake != nil {
				r.chain.forward.CallTimeout = 40 * time.Second // it is not the call's limit that ends a handshake
			}
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer nc.Close()
						if c.handshake != nil {
							c.handshake(nc)
							return
						}
						config := r.server.TLS.Clone()
						if c.alpn != "" {
							config.NextProtos = []string{c.alpn}
						}
						tc := tls.Server(nc, config)
						if tc.Handshake() == nil {
							c.serve(tc)
							_ = tc.Close()
						}
					}()
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			resp, err := http.DefaultClient.Do(r.request(t, "POST", r.engineer(t), callTool("x")).WithContext(ctx))
			var body []byte
			if err == nil {
				defer resp.Body.Close()
				body, err = io.ReadAll(resp.Body)
			}
			switch {
			case ctx.Err() != nil:
				t.Error("the caller is kept")
			case c.status == 0 && err == nil:
				t.Errorf("the caller takes it for whole: %d %s", resp.StatusCode, body)
			case c.status != 0 && (err != nil || resp.StatusCode != c.status):
				t.Errorf("got %v %s, %v", resp, body, err)
			}
			if records := r.records.all(); len(records) != 1 || records[0].Outcome != "failed" {
				t.Errorf("recorded as %+v", records)
			}
		})
	}
}
