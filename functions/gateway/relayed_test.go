package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"mcpgateway/internal/deploy"
)

// relay is what Docker's proxy is to a container: it takes connections also when nobody is behind it, and resets them.
type relay struct {
	net.Listener
	behind atomic.Pointer[string] // address of the shim; nil: it is gone
	taken  atomic.Int32
}

func newRelay(t *testing.T) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.taken.Add(1)
			go r.serve(conn.(*net.TCPConn))
		}
	}()
	return r
}

func (r *relay) serve(conn *net.TCPConn) {
	defer conn.Close()
	to := r.behind.Load()
	if to == nil {
		_, _ = conn.Read(make([]byte, 1)) // what was sent is lost
		_ = conn.SetLinger(0)
		return
	}
	shim, err := net.Dial("tcp", *to)
	if err != nil {
		return
	}
	defer shim.Close()
	go func() { _, _ = io.Copy(shim, conn); _ = shim.Close() }()
	_, _ = io.Copy(conn, shim)
}

// A call that finds the relay of a shim that is gone was not sent to anybody: the server is woken for it, and it runs once.
func TestRelayOfShimThatIsGone(t *testing.T) {
	var calls, probes atomic.Int32
	shim := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" {
			probes.Add(1)
			return
		}
		calls.Add(1)
		answerJSON(w, r)
	}))
	t.Cleanup(shim.Close)
	address := shim.Listener.Addr().String()
	gone, there := newRelay(t), newRelay(t)
	there.behind.Store(&address)

	r := newRig(t, answerJSON)
	key := deploy.Key{Server: "github"}.ID()
	r.deployer.runs[key] = &fakeInstance{Instance: deploy.Instance{ID: "new", URL: "http://" + there.Addr().String()}, server: shim.Config}
	entry, _ := r.gateway.current.Load().catalog.Server("github")
	if _, err := r.gateway.servers.remember(key, entry, deploy.Instance{ID: "old", URL: "http://" + gone.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		resp, body := r.do(t, r.request(t, "POST", "github", echo))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if gone.taken.Load() != 1 || there.taken.Load() != 1 || probes.Load() != 1 || calls.Load() != 3 {
		t.Errorf("%d connections to the old one, %d to the new one with %d probes, %d calls", gone.taken.Load(), there.taken.Load(), probes.Load(), calls.Load())
	}
}
