package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/traffic"
)

// served is what the gateway says on its socket.
func (r *rig) served(t *testing.T, path string) map[string]traffic.Server {
	t.Helper()
	status, err := traffic.Read(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]traffic.Server{}
	for _, s := range status.Servers {
		byID[s.ID] = s
	}
	return byID
}

func (r *rig) awaitTraffic(t *testing.T, path string, want traffic.Server) {
	t.Helper()
	var diff string
	for range 200 {
		if diff = cmp.Diff(want, r.served(t, path)[want.ID]); diff == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not what was awaited (-want +got)\n%s", diff)
}

func TestTraffic(t *testing.T) {
	release := make(chan struct{})
	finish := sync.OnceFunc(func() { close(release) })
	defer finish() // should it fail before
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		if req.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
			return
		}
		<-release
		answerJSON(w, req)
	})
	r.gateway.current.Load().platform.Deployer.Socket = "/deployer.sock"
	path := filepath.Join(r.deployer.dir, "status")
	stop, err := r.gateway.serveTraffic(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
	status, err := traffic.Read(t.Context(), path)
	if diff := cmp.Diff(traffic.Status{Deployer: "/deployer.sock",
		Servers: []traffic.Server{{ID: "github"}, {ID: "secret"}, {ID: "mine", PerUser: true}}}, status); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}

	_, leave := listen(t, r, r.request(t, "GET", "github", "")) // it wakes nothing, and is no call
	r.awaitTraffic(t, path, traffic.Server{ID: "github", Listeners: 1})
	r.deployer.delay = 300 * time.Millisecond
	done := make(chan *http.Response, 3)
	for _, server := range []string{"github", "github", "mine"} {
		req := r.request(t, "POST", server, echo)
		go func() { resp, _ := http.DefaultTransport.RoundTrip(req); done <- resp }()
	}
	r.awaitTraffic(t, path, traffic.Server{ID: "github", Calls: 2, Total: 2, Listeners: 1, Waiting: 2})
	r.awaitTraffic(t, path, traffic.Server{ID: "mine", PerUser: true, Calls: 1, Total: 1, Waiting: 1})
	r.awaitTraffic(t, path, traffic.Server{ID: "github", Calls: 2, Total: 2, Listeners: 1}) // awake
	leave()
	finish()
	for range 3 {
		if resp := <-done; resp != nil {
			resp.Body.Close()
		}
	}
	r.awaitTraffic(t, path, traffic.Server{ID: "github", Total: 2})
	for _, server := range []string{"secret", "nothing"} { // who is refused is not counted
		r.do(t, r.request(t, "POST", server, echo))
	}
	r.awaitTraffic(t, path, traffic.Server{ID: "secret"})
	if _, there := r.served(t, path)["nothing"]; there {
		t.Error("a server that the catalog has not")
	}
}

func TestTrafficIsReadOnly(t *testing.T) {
	r := newRig(t, answerJSON)
	path := filepath.Join(r.deployer.dir, "status")
	stop, err := r.gateway.serveTraffic(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	client := http.Client{Transport: &http.Transport{DialContext: dialUnix(path)}}
	defer client.CloseIdleConnections()
	for _, tc := range []struct {
		method, path string
		status       int
	}{{"GET", "/", 200}, {"POST", "/", 405}, {"DELETE", "/", 405}, {"GET", "/mcp-connect/github", 404}} {
		req, err := http.NewRequest(tc.method, "http://gateway"+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, resp.StatusCode, tc.status)
		}
	}
}

func BenchmarkTally(b *testing.B) {
	var t tally
	c := &call{server: "github", r: &http.Request{Method: http.MethodPost}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t.enter(c)()
		}
	})
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}
