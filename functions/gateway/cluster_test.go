package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
)

// A call is sent: that is what wakes a server, and neither the cluster nor the deployer is asked before.
func TestClusterCallWakes(t *testing.T) {
	r, f := newClusterRig(t, answerJSON)
	for range 2 {
		r.gateway.servers.cluster = f.newCluster() // in which nobody has heard of the server for a while
		resp, body := r.do(t, r.request(t, "POST", "github", echo))
		if resp.StatusCode != 200 || body != "{}" {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
		if resp.Header[mcp.HeaderShim] != nil {
			t.Errorf("the mark %q leaves", resp.Header[mcp.HeaderShim])
		}
	}
	if s := f.services["mcp-github"]; f.asked != 0 || f.ensured != 0 || s.woken != 1 {
		t.Errorf("the API was asked %d times, the deployer %d; woken %d times", f.asked, f.ensured, s.woken)
	}
}

// What Knative and proxies obey is the gateway's to say. The fake ingress refuses what is not on its list.
func TestClusterHeaders(t *testing.T) {
	var got http.Header
	r, f := newClusterRig(t, func(w http.ResponseWriter, req *http.Request) { got = req.Header; answerJSON(w, req) })
	called(r, "github")
	req := r.request(t, "POST", "github", echo)
	for _, name := range []string{"K-Kubelet-Probe", "K-Network-Probe", "K-Network-Hash", "K-Proxy-Request", "K-Passthrough-Lb", "Knative-Serving-Revision",
		"Knative-Serving-Namespace", "Knative-Serving-Tag", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Envoy-Original-Path", "Forwarded", "Via",
		"Cookie", "Upgrade-Insecure-Requests", "Gateway-Shim", "Gateway-Client-Ip", "Host", "Te", "Prefer"} {
		req.Header[name] = []string{"mcp-secret"}
	}
	req.Header.Set("User-Agent", "kube-probe/1.35")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	if resp, body := r.do(t, req); resp.StatusCode != 200 {
		t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	want := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"},
		"Authorization": req.Header["Authorization"], "Gateway-User-Agent": {"kube-probe/1.35"}, "Gateway-Client-Ip": {"127.0.0.1"}, "Content-Length": got["Content-Length"], "X-Request-Id": got["X-Request-Id"]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mcp-github.mcp-servers.example.test"}, f.hosts); diff != "" {
		t.Errorf("hosts:\n%s", diff)
	}
}

// Everybody has an instance under a name of their own, and all share the connections to the ingress.
func TestClusterInstances(t *testing.T) {
	r, f := newClusterRig(t, answerJSON)
	hosts := map[string]bool{}
	for _, subject := range []string{"alice", "bob", "alice"} {
		at := r.gateway.servers.cluster.At(deploy.Key{Server: "mine", Owner: &deploy.Owner{Issuer: "https://issuer.test", Subject: subject}})
		f.services[at.ID] = asleep()
		hosts[at.Host] = true
		req := r.request(t, "POST", "mine", echo, "Authorization", "Bearer "+r.token(t, subject, "mine"))
		if resp, body := r.do(t, req); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", subject, resp.StatusCode, body)
		}
		if last := f.hosts[len(f.hosts)-1]; last != at.Host {
			t.Errorf("%s was sent to %s, not %s", subject, last, at.Host)
		}
		r.do(t, r.request(t, "POST", "github", echo))
	}
	if len(hosts) != 2 || f.conns != 1 {
		t.Errorf("%d hosts, %d connections", len(hosts), f.conns)
	}
}

const initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`

// What asks the server to do nothing wakes nobody, whatever can be known of the server.
func TestClusterSleepsOn(t *testing.T) {
	for name, change := range map[string]func(*fakeCluster){
		"asleep": func(*fakeCluster) {}, "the API is down": func(f *fakeCluster) { f.down = true },
		"going down": func(f *fakeCluster) { f.services["mcp-github"] = &fakeService{actual: 1, start: open} },
		"not there":  func(f *fakeCluster) { clear(f.services) },
	} {
		r, f := newClusterRig(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: reached", name) })
		change(f)
		for _, c := range []struct {
			method, body string
			status       int
			says         string
		}{
			{"POST", ping, 200, `"result":{}`},
			{"POST", initialized, 202, ""},
			{"POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, 202, ""},
			{"POST", `[` + initialized + `,` + ping + `]`, 202, ""},
			{"POST", `{`, 400, "-32700"},
			{"DELETE", "", 404, "asleep"},
		} {
			if resp, body := r.do(t, r.request(t, c.method, "github", c.body)); resp.StatusCode != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%s, %s %s: %d %s", name, c.method, c.body, resp.StatusCode, body)
			}
		}
		_, leave := listen(t, r, r.request(t, "GET", "github", ""))
		leave()
		if len(f.hosts) != 0 || f.ensured != 0 || f.count(func() int { return f.asked }) == 0 {
			t.Errorf("%s: sent to %v, ensured %d times, asked %d times", name, f.hosts, f.ensured, f.asked)
		}
	}
}

// While a server runs it gets all of that, and while it starts what nobody answers: its client may know better than the
// cluster that it is there.
func TestClusterServerGetsMessages(t *testing.T) {
	for name, c := range map[string]struct {
		service      *fakeService
		called       bool // just before
		method, body string
		reached      bool
	}{
		"notification":                     {running(), false, "POST", initialized, true},
		"notification, starting":           {&fakeService{desired: 1, start: open}, false, "POST", initialized, true},
		"notification after a call":        {asleep(), true, "POST", initialized, true},
		"reply, starting":                  {&fakeService{desired: 1, start: open}, false, "POST", `{"jsonrpc":"2.0","id":1,"result":{}}`, true},
		"DELETE":                           {running(), false, "DELETE", "", true},
		"DELETE, starting":                 {&fakeService{desired: 1, start: open}, false, "DELETE", "", false},
		"ping after a call":                {asleep(), true, "POST", ping, true},
		"ping that keeps nobody awake":     {running(), false, "POST", ping, false},
		"no message, for the shim to tell": {running(), true, "POST", "{", true},
	} {
		var methods []string
		r, f := newClusterRig(t, func(w http.ResponseWriter, req *http.Request) {
			methods = append(methods, req.Method)
			answerJSON(w, req)
		})
		f.services["mcp-github"] = c.service
		if c.called {
			r.do(t, r.request(t, "POST", "github", echo))
			f.set("mcp-github", func(s *fakeService) { s.actual, s.desired = 0, 0 }) // as far as the cluster has noticed
			methods = nil
		}
		r.do(t, r.request(t, c.method, "github", c.body))
		if (len(methods) == 1) != c.reached {
			t.Errorf("%s: reached %v", name, methods)
		}
	}
}

func TestClusterServerThatCannotBeMade(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"no place":             {&deploy.StartError{Code: deploy.CodeUnavailable, Message: "The image cannot be had."}, 503, "The image cannot be had."},
		"too many":             {&deploy.StartError{Code: deploy.CodeLimit, Message: "Too many instances."}, 429, "Too many"},
		"not in the catalog":   {&deploy.StartError{Code: deploy.CodeUnknown}, 403, "may not use"},
		"deployer is down":     {errors.New("dial 10.1.2.3"), 503, "cannot be started now"},
		"ingress never learns": {nil, 503, "cannot be started now"},
	} {
		r, f := newClusterRig(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
		clear(f.services)
		f.ensure, f.lag = func(deploy.Key) error { return c.err }, 1e6
		r.gateway.servers.lag = 100 * time.Millisecond
		resp, body := r.do(t, r.request(t, "POST", "github", echo))
		if resp.StatusCode != c.status || !strings.Contains(body, c.says) || strings.Contains(body, "10.1.2.3") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		if c.status != 403 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	r, f := newClusterRig(t, answerJSON)
	clear(f.services)
	version := *r.version.Platform
	version.Limits.WakesPerMinute = 1
	r.gateway.current.Load().platform = &version
	for i, want := range []int{200, 429} {
		clear(f.services)
		if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != want {
			t.Errorf("deployment %d: %d %s", i, resp.StatusCode, body)
		}
	}
}

// What ingress and proxies answer in a server's place never leaves, and is not taken for the server's.
func TestClusterStrangers(t *testing.T) {
	for stranger, want := range map[int]struct {
		status int
		says   string
		retry  bool
	}{
		500: {503, "cannot be started now", true}, 503: {503, "cannot be started now", true}, 502: {503, "may have run", true},
		504: {504, "in time", true}, 200: {502, "not the MCP server", true}, 302: {502, "not the MCP server", true}, 426: {502, "not the MCP server", true},
	} {
		r, f := newClusterRig(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
		called(r, "github")
		f.set("mcp-github", func(s *fakeService) { s.stranger = stranger })
		resp, body := r.do(t, r.request(t, "POST", "github", echo))
		if resp.StatusCode != want.status || !strings.Contains(body, want.says) || strings.Contains(body, "10.1.2.3") || (resp.Header.Get("Retry-After") != "") != want.retry {
			t.Errorf("%d: %d %s %v", stranger, resp.StatusCode, body, resp.Header)
		}
		if len(f.hosts) != 1 || f.ensured != 0 {
			t.Errorf("%d: sent %d times, ensured %d times", stranger, len(f.hosts), f.ensured)
		}
	}
	// The shim's own 404 is a session that ended, and another shim's answer is none.
	// So is one of the shim's server itself, which knows the name and has no proof, or an older one.
	for _, c := range []struct {
		mark   string // empty: the shim's own
		status int
	}{{"", 404}, {"mine", 502}, {"none", 502}, {"github", 502}, {"github x", 502}, {"github AAAAAAAAAAAAAAAAAAAAAA", 502}} {
		r, f := newClusterRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if c.mark != "" {
				w.Header()[mcp.HeaderShim] = []string{c.mark}
			} else {
				w.WriteHeader(404)
			}
			_, _ = io.WriteString(w, `{"a":1}`)
		})
		if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != c.status || (body == `{"a":1}`) != (c.mark == "") || f.ensured != 0 {
			t.Errorf("marked %q: %d %s, ensured %d times", c.mark, resp.StatusCode, body, f.ensured)
		}
	}
}

// A server that does not start is given up when the time is over that it may take; one that is at work is not.
func TestClusterStartTimeout(t *testing.T) {
	left := make(chan struct{})
	slow := func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-req.Context().Done():
		}
		answerJSON(w, req)
	}
	r, f := newClusterRig(t, slow)
	entry, _ := r.gateway.current.Load().catalog.Server("github")
	entry.Startup.Timeout = catalog.Duration(50 * time.Millisecond)
	for name, c := range map[string]struct {
		service *fakeService
		down    bool
		status  int
	}{
		"does not start":                  {&fakeService{start: left}, false, 504},
		"at work":                         {running(), false, 200},
		"at work, as far as can be known": {running(), true, 200},
	} {
		f.mu.Lock()
		f.services["mcp-github"], f.down = c.service, c.down
		f.mu.Unlock()
		r.gateway.servers = newServers(f.newCluster(), slog.New(slog.DiscardHandler)) // that knows nothing yet
		resp, body := r.do(t, r.request(t, "POST", "github", echo))
		if resp.StatusCode != c.status || (resp.Header.Get("Retry-After") != "") != (c.status == 504) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
}

// That an instance was awake a moment ago does not have a call wait for one that cannot start in its place.
func TestClusterReplacedByWhatCannotStart(t *testing.T) {
	t.Parallel() // it waits until the answer of a moment ago is none any more
	r, f := newClusterRig(t, answerJSON)
	entry, _ := r.gateway.current.Load().catalog.Server("github")
	entry.Startup.Timeout = catalog.Duration(30 * time.Second)
	f.services["mcp-github"] = running()
	f.ensure = func(deploy.Key) error {
		return &deploy.StartError{Code: deploy.CodeUnavailable, Message: "It cannot start.", RetryAfter: time.Second}
	}
	r.gateway.servers.slow = 10 * time.Millisecond
	if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
		t.Fatalf("awake: %d %s", resp.StatusCode, body)
	}
	f.set("mcp-github", func(s *fakeService) { *s = fakeService{start: make(chan struct{})} })
	if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 503 || !strings.Contains(body, "It cannot start.") {
		t.Errorf("replaced: %d %s", resp.StatusCode, body)
	}
}

// That the deployer takes the rest of a call's time to say what keeps an instance does not have the call wait on.
func TestClusterReasonTakesLong(t *testing.T) {
	r, f := newClusterRig(t, answerJSON)
	entry, _ := r.gateway.current.Load().catalog.Server("github")
	entry.Startup.Timeout = catalog.Duration(100 * time.Millisecond)
	f.services["mcp-github"] = &fakeService{start: make(chan struct{})}
	f.ensure = func(deploy.Key) error { time.Sleep(200 * time.Millisecond); return errors.New("nothing is known") }
	r.gateway.servers.slow = 10 * time.Millisecond
	began := time.Now()
	if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 504 || time.Since(began) > 5*time.Second { // a call may take ten
		t.Errorf("after %v: %d %s", time.Since(began), resp.StatusCode, body)
	}
}

// An ingress that nobody answers at was sent nothing, and says so.
func TestClusterIngressIsGone(t *testing.T) {
	r, f := newClusterRig(t, answerJSON)
	f.set("mcp-github", func(s *fakeService) { *s = *running() })
	f.ingress.Close()
	for _, c := range [][2]string{{"POST", echo}, {"POST", initialized}, {"DELETE", ""}} {
		if resp, body := r.do(t, r.request(t, c[0], "github", c[1])); resp.StatusCode != 503 || !strings.Contains(body, "cannot be reached now") || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", c[0], c[1], resp.StatusCode, body)
		}
	}
	if f.ensured != 0 {
		t.Errorf("ensured %d times", f.ensured)
	}
}

// A connection that breaks after the request was sent is not sent again.
func TestClusterCallThatBreaksOffRunsOnce(t *testing.T) {
	var ran atomic.Int32
	r, _ := newClusterRig(t, func(http.ResponseWriter, *http.Request) { ran.Add(1); panic(http.ErrAbortHandler) })
	resp, body := r.do(t, r.request(t, "POST", "github", echo))
	if resp.StatusCode != 502 || !strings.Contains(body, "may have run") || ran.Load() != 1 {
		t.Errorf("%d %s, ran %d times", resp.StatusCode, body, ran.Load())
	}
}

func TestNewDeployer(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	d, err := newDeployer(&catalog.Deployer{Socket: "/x"}, log)
	if _, ok := d.(*deploy.Client); err != nil || !ok {
		t.Errorf("processes: %T, %v", d, err)
	}
	_, f := newClusterRig(t, answerJSON)
	d, err = newDeployer(&catalog.Deployer{Socket: "/x", Knative: f.knative}, log)
	if _, ok := d.(cluster); err != nil || !ok {
		t.Errorf("a cluster: %T, %v", d, err)
	}
	deployers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"id":"`+r.Header.Get("Authorization")+`"}`)
	}))
	defer deployers.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err = newDeployer(&catalog.Deployer{Socket: "/x", URL: deployers.URL, Token: token}, log)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := d.Ensure(t.Context(), deploy.Key{Server: "a"}); err != nil || shown.ID != "Bearer t" {
		t.Errorf("a deployer elsewhere is shown %q, %v", shown.ID, err)
	}
	if _, err := newDeployer(&catalog.Deployer{Knative: &catalog.Knative{NameKey: "/none"}}, log); err == nil {
		t.Error("a cluster without its key was accepted")
	}
}
