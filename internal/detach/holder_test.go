package detach

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

func newHolder(t *testing.T) *Holder {
	t.Helper()
	h, err := NewHolder(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// listeners serves streams that wait until their client leaves, on a TCP or Unix socket, and dials them.
func listeners(t *testing.T, network string, left chan<- string) (dial func(name string) net.Conn) {
	t.Helper()
	h := newHolder(t)
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path
		h.Serve(func(o *Handoff) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusOK)
			gone := make(chan struct{})
			stream := o.Take(w, r, func() { close(gone) })
			o.Release()
			_, _ = io.WriteString(stream, "ready")
			<-gone
			left <- name
		})
	}))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(func() { server.Close(); _ = h.Wait(context.Background()) })
	return func(name string) net.Conn {
		t.Helper()
		conn, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET "+name+" HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		var head strings.Builder
		some := make([]byte, 512)
		for !strings.HasSuffix(head.String(), "ready") {
			n, err := conn.Read(some)
			if err != nil {
				t.Fatalf("after %q: %v", head.String(), err)
			}
			head.Write(some[:n])
		}
		return conn
	}
}

func expect(t *testing.T, left <-chan string, want string) {
	t.Helper()
	select {
	case got := <-left:
		if got != want {
			t.Errorf("%s left, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nobody noticed that %s left", want)
	}
}

// Each way to leave is noticed, and nobody else is taken for the one who left.
func TestWhoLeavesIsNoticed(t *testing.T) {
	for network, ways := range map[string]map[string]func(net.Conn) error{
		"tcp": {
			"closes":      func(c net.Conn) error { return c.Close() },
			"half closes": func(c net.Conn) error { return c.(*net.TCPConn).CloseWrite() },
			"resets":      func(c net.Conn) error { _ = c.(*net.TCPConn).SetLinger(0); return c.Close() },
			"talks and closes": func(c net.Conn) error {
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
				return c.Close()
			},
		},
		"unix": {
			"closes":      func(c net.Conn) error { return c.Close() },
			"half closes": func(c net.Conn) error { return c.(*net.UnixConn).CloseWrite() },
		},
	} {
		for name, leave := range ways {
			t.Run(network+" "+name, func(t *testing.T) {
				left := make(chan string, 10)
				dial := listeners(t, network, left)
				_, second, _ := dial("/first"), dial("/second"), dial("/third")
				if err := leave(second); err != nil {
					t.Fatal(err)
				}
				expect(t, left, "/second")
				// Its descriptor is free: who gets it is somebody else.
				fourth := dial("/fourth")
				select {
				case name := <-left:
					t.Errorf("%s left", name)
				default:
				}
				if err := leave(fourth); err != nil {
					t.Fatal(err)
				}
				expect(t, left, "/fourth")
			})
		}
	}
}

// A thousand that leave at once are all noticed.
func TestAllLeaveAtOnce(t *testing.T) {
	const many = 300
	left := make(chan string, many)
	dial := listeners(t, "unix", left)
	conns := make([]net.Conn, many)
	for i := range conns {
		conns[i] = dial("/all")
	}
	for _, c := range conns {
		_ = c.Close()
	}
	for range conns {
		expect(t, left, "/all")
	}
}

// Waiting for clients to leave takes no goroutine for each.
func TestWatchingTakesNoGoroutines(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has the watcher")
	}
	h := newHolder(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := runtime.NumGoroutine()
	for range 100 {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ours, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		defer h.watch(ours, func() {})()
	}
	if n := runtime.NumGoroutine() - before; n > 10 {
		t.Errorf("%d goroutines for 100 connections", n)
	}
}

// A connection that is no socket is read instead.
func TestWatchWithoutASocket(t *testing.T) {
	ours, theirs := net.Pipe()
	left := make(chan string, 1)
	defer newHolder(t).watch(ours, func() { left <- "pipe" })()
	_, _ = theirs.Write([]byte("words that nobody reads"))
	_ = theirs.Close()
	expect(t, left, "pipe")
}

func TestStoppedWatchIsSilent(t *testing.T) {
	h := newHolder(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left := make(chan string, 2)
	for _, name := range []string{"stopped", "other"} {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ours, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		stop := h.watch(ours, func() { left <- name })
		if name == "stopped" {
			stop()
		} else {
			defer stop()
		}
		_ = client.Close()
	}
	expect(t, left, "other") // its event comes after the first one's would have come
}

// A bug in a listener's goroutine ends that listener, not the program, and what was sent is no whole answer.
func TestPanicCutsTheStreamOff(t *testing.T) {
	h := newHolder(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Serve(func(o *Handoff) {
			if r.URL.Path == "/early" {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusOK)
			stream := o.Take(w, r, func() {})
			o.Release()
			_, _ = io.WriteString(stream, "some")
			panic("a bug")
		})
	}))
	defer server.Close()
	if resp, err := http.Get(server.URL + "/early"); err == nil {
		_ = resp.Body.Close()
		t.Error("before the stream: answered all the same")
	}
	resp, err := http.Get(server.URL + "/late")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil || string(b) != "some" {
		t.Errorf("got %q, %v: the answer ended as if whole", b, err)
	}
}

func TestHolderNeedsPatience(t *testing.T) {
	if _, err := NewHolder(0); err == nil {
		t.Error("a client may take forever")
	}
}
