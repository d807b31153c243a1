package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func clientOf(address string) *Client {
	return &Client{Dial: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", address) }}
}

func request(t testing.TB, ctx context.Context, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://peer/path", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// server serves over a handler and counts connections.
func server(t *testing.T, h http.HandlerFunc) (*Client, *atomic.Int32) {
	t.Helper()
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return clientOf(s.Listener.Addr().String()), &conns
}

// raw is a peer that answers every request with the same bytes, and closes where they say so.
func raw(t *testing.T, answer string, thenClose bool) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if _, err := io.WriteString(c, answer); err != nil || thenClose {
						return
					}
				}
			}()
		}
	}()
	return clientOf(l.Addr().String())
}

func TestManyCallsShareConnections(t *testing.T) {
	c, conns := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if len(b)%2 == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		}
		_, _ = w.Write(b)
	})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				want := strings.Repeat(string(rune('a'+i)), j*37)
				resp, err := c.RoundTrip(request(t, t.Context(), want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("%d bytes instead of %d, %v", len(got), len(want), err)
				}
			}
		})
	}
	all.Wait()
	if n := conns.Load(); n > 8 {
		t.Errorf("%d connections for 8 callers", n)
	}
	c.CloseIdleConnections()
	if len(c.idle) != 0 {
		t.Error("idle connections are kept")
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		close        bool
		status       int // 0: an error
		body         string
		broken       bool // the body ends in an error
		kept         int  // idle connections afterwards
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, 200, "{}", false, 1},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", false, 200, "{}", false, 1},
		{"empty", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", false, 202, "", false, 1},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", false, 1},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\n{}", true, 200, "{}", false, 0},
		{"says close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", false, 200, "{}", false, 0},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, 200, "{}", false, 0},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, 200, "{}", false, 1},
		{"one answer too many", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false, 200, "{}", false, 0},
		{"short", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", true, 200, "{}", true, 0},
		{"broken chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", true, 200, "{}", true, 0},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, 200, "", true, 0},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", false, 0, "", false, 0},
		{"nothing", "", true, 0, "", false, 0},
		{"garbage", "hello\r\n\r\n", true, 0, "", false, 0},
		{"switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, 0, "", false, 0},
		{"endless headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxHead), true, 0, "", false, 0},
		{"endless interim", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHead/20), true, 0, "", false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := raw(t, c.answer, c.close)
			var read atomic.Int64
			dial := client.Dial
			client.Dial = func(ctx context.Context) (net.Conn, error) {
				nc, err := dial(ctx)
				return countingConn{nc.(*net.TCPConn), &read}, err
			}
			resp, err := client.RoundTrip(request(t, t.Context(), "x"))
			if c.status == 0 {
				if err == nil {
					t.Fatalf("got %d", resp.StatusCode)
				}
				if n := read.Load(); n > maxHead {
					t.Errorf("%d bytes were read", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.status || string(got) != c.body || (err != nil) != c.broken {
				t.Errorf("got %d %q, %v", resp.StatusCode, got, err)
			}
			if len(client.idle) != c.kept {
				t.Errorf("%d connections are kept", len(client.idle))
			}
		})
	}
}

// countingConn counts what is read of it.
type countingConn struct {
	*net.TCPConn
	read *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// A peer that talks before it is asked must not have its words taken for the next answer.
func TestUnaskedAnswerIsNotTaken(t *testing.T) {
	first := make(chan net.Conn, 1)
	c := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false)
	dial := c.Dial
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		ours, theirs := tcpPair(t)
		nc, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		go func() { _, _ = io.Copy(nc, theirs); _ = nc.Close() }()
		go func() { _, _ = io.Copy(theirs, nc); _ = theirs.Close() }()
		select {
		case first <- theirs:
		default:
		}
		return ours, nil
	}
	get := func() string {
		resp, err := c.RoundTrip(request(t, t.Context(), "x"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	if got := get(); got != "{}" {
		t.Fatal(got)
	}
	_, _ = io.WriteString(<-first, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
	time.Sleep(50 * time.Millisecond)
	if got := get(); got != "{}" {
		t.Errorf("got %q", got)
	}
}

func tcpPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// A connection that the peer closed while it idled is not used again: the call would be lost.
func TestClosedIdleConnection(t *testing.T) {
	c := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", true)
	for range 50 {
		resp, err := c.RoundTrip(request(t, t.Context(), "x"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		for began := time.Now(); c.idle[0].stands(); time.Sleep(time.Millisecond) { // until the close has arrived
			if time.Since(began) > 10*time.Second {
				t.Fatal("the close is not seen")
			}
		}
	}
}

func TestCancel(t *testing.T) {
	for name, write := range map[string]string{"before the answer": "", "in its body": "data: 1\n\n"} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			c, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if write != "" {
					_, _ = io.WriteString(w, write)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				close(left)
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("enough")) })
			resp, err := c.RoundTrip(request(t, ctx, "x"))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			<-left
			if len(c.idle) != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

// A peer that refuses a large request without reading it is heard.
func TestAnswerBeforeTheRequestIsRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
		_ = c.(*net.TCPConn).CloseWrite()
		time.Sleep(100 * time.Millisecond) // the answer is on its way before the reset
		_ = c.Close()
	}()
	c := clientOf(l.Addr().String())
	resp, err := c.RoundTrip(request(t, t.Context(), strings.Repeat("x", 20<<20)))
	if err != nil {
		t.Skipf("the reset came before the answer was read: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 413 || len(c.idle) != 0 {
		t.Errorf("got %d", resp.StatusCode)
	}
}

func TestDialErrorSaysThatNothingWasSent(t *testing.T) {
	_, err := clientOf("127.0.0.1:1").RoundTrip(request(t, t.Context(), "x"))
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("got %v", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	defer s.Close()
	address := s.Listener.Addr().String()
	for name, rt := range map[string]http.RoundTripper{"peer": clientOf(address), "transport": &http.Transport{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r := request(b, b.Context(), "x")
				r.URL.Host = address
				resp, err := rt.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
}

// A stream of events holds a small buffer while nothing comes, whole events longer than that pass through it, and the
// next call on the connection has the large one again.
func TestStreamHoldsLittle(t *testing.T) {
	long := "data: " + strings.Repeat("0123456789", 1000) + "\n\n"
	c, conns := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for range 3 {
			_, _ = io.WriteString(w, long)
			_ = http.NewResponseController(w).Flush()
		}
	})
	for range 2 {
		resp, err := c.RoundTrip(request(t, t.Context(), ""))
		if err != nil {
			t.Fatal(err)
		}
		k := resp.Body.(*body).conn
		if k.in.Size() != readBuffer {
			t.Errorf("the head was read with a buffer of %d bytes", k.in.Size())
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != strings.Repeat(long, 3) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if k.in.Size() != readBuffer {
			t.Errorf("an idle connection has a buffer of %d bytes", k.in.Size())
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestSilentStreamHoldsLittle(t *testing.T) {
	silent := make(chan struct{})
	c, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-silent
		_, _ = io.WriteString(w, "data: 2\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	resp, err := c.RoundTrip(request(t, t.Context(), ""))
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(resp.Body)
	for i := range 2 {
		line, err := in.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i+1) {
			t.Fatalf("got %q, %v", line, err)
		}
		_, _ = in.Discard(1)
		if i == 0 {
			close(silent) // the next read finds nothing in the buffer
		}
	}
	if n := resp.Body.(*body).conn.in.Size(); n != streamBuffer {
		t.Errorf("a buffer of %d bytes is held", n)
	}
	_ = resp.Body.Close()
}

// A connection that was made ahead is the first request's.
func TestWarm(t *testing.T) {
	c, conns := server(t, func(w http.ResponseWriter, _ *http.Request) {})
	if err := c.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(request(t, t.Context(), ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	c.Dial = func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }
	if c.Warm(t.Context()) == nil {
		t.Error("connected to nobody")
	}
}

// How long a connection idles is told by the wall's clock: the other one may stand still while the process is frozen.
func TestIdleWhileFrozen(t *testing.T) {
	c, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {})
	c.MaxIdleTime = time.Minute
	dialed, dial := 0, c.Dial
	c.Dial = func(ctx context.Context) (net.Conn, error) { dialed++; return dial(ctx) }
	for i, change := range []func(time.Time) time.Time{
		func(at time.Time) time.Time { return at },
		func(at time.Time) time.Time { return at.Add(-time.Hour) }, // frozen for an hour
		func(at time.Time) time.Time { return at.Add(time.Hour) },  // the clock was set back
	} {
		if err := c.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		idle := c.idle[len(c.idle)-1]
		if idle.idle != idle.idle.Round(0) {
			t.Errorf("%v has a monotonic reading", idle.idle)
		}
		idle.idle = change(idle.idle)
		before := dialed
		resp, err := c.RoundTrip(request(t, t.Context(), ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if made := dialed - before; made != min(i, 1) {
			t.Errorf("case %d: %d connections more", i, made)
		}
		c.CloseIdleConnections()
	}
}
