package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/sealedtoken"
	"mcpgateway/knative/ingress"
)

// fakeCluster is an ingress, a Kubernetes API and a deployer, as the gateway knows them.
type fakeCluster struct {
	t       *testing.T
	ingress *httptest.Server
	api     *httptest.Server
	knative *catalog.Knative

	mu       sync.Mutex
	services map[string]*fakeService // by name
	down     bool                    // the API
	asked    int                     // the API
	ensured  int
	ensure   func(deploy.Key) error // before the service is made
	lag      int                    // requests for which the ingress does not know a service that is made
	half     int                    // requests that it answers itself, while it knows only half of a service that is made
	hosts    []string               // of requests that came, in order
	conns    int                    // to the ingress
}

// fakeService is a service of one pod.
type fakeService struct {
	actual, desired int
	woken           int           // by requests
	start           chan struct{} // closed: it may start
	stranger        int           // status that a proxy answers in its place
	strangers       int           // how often it does, 0: always
}

// nameKey is what gateway and deployer share.
var nameKey = strings.Repeat("k", 32)

// arrived are the headers that a request may have behind the gateway, besides those of MCP.
var arrived = []string{"Content-Type", "Accept", "Last-Event-Id", "Traceparent", "Tracestate", "Authorization", "X-Request-Id",
	"Gateway-Client-Ip", "Gateway-User-Agent", "Gateway-Hold", "Content-Length"}

// serve is the ingress with what is behind it.
func (f *fakeCluster) serve(shim http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if !slices.Contains(arrived, name) && !strings.HasPrefix(name, "Mcp-") {
				f.t.Errorf("the header %s: %q arrived", name, r.Header[name])
			}
		}
		body, _ := io.ReadAll(r.Body) // only then does the library notice a client that leaves
		r.Body = io.NopCloser(bytes.NewReader(body))
		name, domain, _ := strings.Cut(r.Host, ".")
		f.mu.Lock()
		f.hosts = append(f.hosts, r.Host)
		s := f.services[name]
		if s != nil && f.lag > 0 {
			f.lag--
			s = nil
		}
		if s == nil || domain != "mcp-servers.example.test" {
			f.mu.Unlock()
			http.NotFound(w, r)
			return
		}
		if status := s.stranger; status != 0 {
			if s.strangers--; s.strangers == 0 {
				s.stranger = 0
			}
			f.mu.Unlock()
			http.Error(w, "upstream 10.1.2.3 said no", status)
			return
		}
		start := s.start
		if s.actual == 0 {
			s.woken++
			s.desired = 1
		}
		f.mu.Unlock()
		select {
		case <-start:
		case <-r.Context().Done():
			return
		}
		f.set(name, func(s *fakeService) { s.actual = 1 })
		server := strings.Split(strings.TrimPrefix(name, "mcp-"), "-")[0]
		if r.URL.Path == "/readyz" {
			w.Header()[mcp.HeaderShim] = []string{server}
			return
		}
		w.Header()[mcp.HeaderShim] = []string{mcp.ShimMark(server, f.open(server, r))}
		shim.ServeHTTP(w, r)
	}
}

// open puts the caller's token where the sealed one is, as a shim does, and returns the proof.
func (f *fakeCluster) open(server string, r *http.Request) string {
	sealer, err := sealedtoken.New(sealedtoken.Key([]byte(nameKey), server))
	if err != nil {
		f.t.Error(err)
		return ""
	}
	token, proof, err := sealer.Open(r.Header.Get("Authorization"))
	if err != nil {
		f.t.Errorf("%s was sent %q: %v", server, r.Header["Authorization"], err)
	}
	r.Header["Authorization"] = []string{token}
	return proof
}

// list is the API.
func (f *fakeCluster) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	service, ok := strings.CutPrefix(r.URL.Query().Get("labelSelector"), "serving.knative.dev/service=")
	if !ok || r.Header.Get("Authorization") != "Bearer gateway" || r.Method != http.MethodGet ||
		r.URL.Path != "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/mcp-servers/podautoscalers" {
		f.t.Errorf("the API was asked %s %s as %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}
	s := f.services[service]
	switch {
	case f.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case s == nil:
		fmt.Fprint(w, `{"kind":"PodAutoscalerList","items":[]}`)
	default:
		fmt.Fprintf(w, `{"kind":"PodAutoscalerList","items":[{"metadata":{"name":"%s-00001"},"spec":{"reachability":"Reachable"},"status":{"desiredScale":%d,"actualScale":%d}}]}`,
			service, s.desired, s.actual)
	}
}

// Ensure is the deployer.
func (f *fakeCluster) Ensure(_ context.Context, key deploy.Key) (deploy.Instance, error) {
	f.count(func() int { f.ensured++; return f.ensured })
	if f.ensure != nil {
		if err := f.ensure(key); err != nil {
			return deploy.Instance{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	made := asleep()
	if f.half > 0 {
		made.stranger, made.strangers = http.StatusBadGateway, f.half
	}
	f.services["mcp-"+key.Server] = made
	return deploy.Instance{ID: "mcp-" + key.Server + "-00001", Host: "mcp-" + key.Server + ".mcp-servers.example.test", Cold: true}, nil
}

// set changes a service.
func (f *fakeCluster) set(service string, change func(*fakeService)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.services[service])
}

// count counts, or reads what was counted.
func (f *fakeCluster) count(of func() int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return of()
}

var open = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func asleep() *fakeService { return &fakeService{start: open} }
func running() *fakeService {
	return &fakeService{start: open, actual: 1, desired: 1}
}

// inCluster puts the rig's servers into a cluster; shim is what its pods run.
func inCluster(t *testing.T, r *rig, shim http.HandlerFunc) *fakeCluster {
	t.Helper()
	f := &fakeCluster{t: t, services: map[string]*fakeService{}}
	f.ingress = httptest.NewUnstartedServer(f.serve(shim))
	f.ingress.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			f.count(func() int { f.conns++; return f.conns })
		}
	}
	f.ingress.StartTLS()
	f.api = httptest.NewTLSServer(http.HandlerFunc(f.list))
	t.Cleanup(func() {
		r.gateway.servers.pool.CloseIdleConnections()
		f.ingress.CloseClientConnections()
		f.ingress.Close()
		f.api.Close()
	})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.ingress.Certificate().Raw})))
	f.knative = &catalog.Knative{Namespace: "mcp-servers", NameKey: file("name.key", nameKey),
		Ingress: catalog.KnativeIngress{URL: f.ingress.URL, Domain: "example.test", CA: ca},
		Kubeconfig: file("kube.yaml", "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: {token: gateway}}]\n"+
			"clusters: [{name: k, cluster: {server: \""+f.api.URL+"\", certificate-authority: ca.pem}}]\n")}
	r.gateway.servers = newServers(f.newCluster(), slog.New(slog.DiscardHandler))
	return f
}

// newCluster is how a gateway sees it that has just started.
func (f *fakeCluster) newCluster() *ingress.Cluster {
	k, err := ingress.New(ingress.Config{Deployer: f, Logger: slog.New(slog.DiscardHandler), Knative: f.knative})
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

// called has the gateway know that a server was called before.
func called(r *rig, server string) { r.gateway.servers.uses.call(deploy.Key{Server: server}.ID()) }

// newClusterRig is a gateway before a cluster with github in it, asleep.
func newClusterRig(t *testing.T, shim http.HandlerFunc) (*rig, *fakeCluster) {
	t.Helper()
	r := newRig(t, func(http.ResponseWriter, *http.Request) { t.Error("a process was asked") })
	f := inCluster(t, r, shim)
	f.services["mcp-github"] = asleep()
	return r, f
}
