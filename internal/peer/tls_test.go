package peer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const answerOf2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// tlsServer serves over TLS and returns a client of it.
func tlsServer(t *testing.T, s *httptest.Server) *Client {
	t.Helper()
	s.StartTLS()
	t.Cleanup(s.Close)
	return tlsClient(s.Listener.Addr().String(), s.Client().Transport.(*http.Transport).TLSClientConfig)
}

func tlsClient(address string, config *tls.Config) *Client {
	config = config.Clone()
	config.ServerName = "example.com" // httptest's certificate
	return &Client{Dial: func(ctx context.Context) (net.Conn, error) {
		d := tls.Dialer{Config: config}
		return d.DialContext(ctx, "tcp", address)
	}}
}

func get(t *testing.T, c *Client) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // no failure hangs
	defer cancel()
	resp, err := c.RoundTrip(request(t, ctx, "x"))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestTLSConnectionsAreShared(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	c := tlsServer(t, s)
	for range 50 {
		if got, err := get(t, c); err != nil || got != "x" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for calls one after the other", n)
	}
}

// A connection that the peer closed while it idled is not used again, though TLS hides the socket.
func TestClosedIdleTLSConnection(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	s.Config.IdleTimeout = time.Millisecond
	closed := make(chan struct{}, 100)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	c := tlsServer(t, s)
	for range 20 {
		if _, err := get(t, c); err != nil {
			t.Fatal(err)
		}
		<-closed
	}
}

// together is a connection whose writes leave in one piece.
type together struct {
	net.Conn
	mu   sync.Mutex
	held bytes.Buffer
	hold bool
}

func (c *together) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hold {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *together) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.SetWriteDeadline(time.Time{}) // closing for writing has set one
	_, _ = c.Conn.Write(c.held.Bytes())
}

// What a peer says unasked and in one piece with its answer is already inside the TLS connection: no look at the socket
// finds it, and the next caller must not take it for an answer.
func TestUnaskedRecordIsNotTaken(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	for name, more := range map[string]string{"an answer": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "a close": ""} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer nc.Close()
						tied := &together{Conn: nc}
						c := tls.Server(tied, certificate.TLS)
						if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
							return
						}
						tied.hold = true
						_, _ = io.WriteString(c, answerOf2)
						if more == "" {
							_ = c.CloseWrite()
						} else {
							_, _ = io.WriteString(c, more)
						}
						tied.release()
						_, _ = io.Copy(io.Discard, nc) // and it stays open
					}()
				}
			}()
			c := tlsClient(l.Addr().String(), certificate.Client().Transport.(*http.Transport).TLSClientConfig)
			for range 3 {
				if got, err := get(t, c); err != nil || got != "{}" {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
}

// pipePeer answers every request on connections that have no socket.
func pipePeer(conns, open *atomic.Int32) *Client {
	return &Client{Dial: func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		conns.Add(1)
		open.Add(1)
		go func() {
			defer open.Add(-1)
			for in := bufio.NewReader(theirs); ; {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(theirs, answerOf2)
			}
		}()
		return ours, nil
	}}
}

func TestMaxIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns, open atomic.Int32
		c := pipePeer(&conns, &open)
		c.MaxIdleTime = 4 * time.Second
		defer c.CloseIdleConnections()
		expect := func(after time.Duration, want int32) {
			t.Helper()
			time.Sleep(after)
			if got, err := get(t, c); err != nil || got != "{}" {
				t.Fatalf("got %q, %v", got, err)
			}
			if n := conns.Load(); n != want {
				t.Errorf("%d connections so far, want %d", n, want)
			}
		}
		expect(0, 1)
		expect(3*time.Second, 1)
		expect(3*time.Second, 1) // used meanwhile
		expect(4*time.Second, 2)
		// Of many at once one is used on; the others are closed all the same.
		var bodies []io.Closer
		for range 5 {
			resp, err := c.RoundTrip(request(t, t.Context(), "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			bodies = append(bodies, closer{resp.Body})
		}
		for _, b := range bodies {
			_ = b.Close()
		}
		for range 3 {
			expect(2*time.Second, 6)
		}
		synctest.Wait()
		if n := open.Load(); n != 1 {
			t.Errorf("%d connections are open", n)
		}
	})
}

// closer reads to the end, so that the connection is kept.
type closer struct{ io.ReadCloser }

func (c closer) Close() error {
	_, err := io.Copy(io.Discard, c.ReadCloser)
	return errors.Join(err, c.ReadCloser.Close())
}
