package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
)

// change puts a version in force that is the first but for what edit changes.
func (r *rig) change(t *testing.T, edit func(*catalog.Platform, *catalog.Catalog)) {
	t.Helper()
	p, c := *r.version.Platform, *r.version.Catalog
	p.Issuers = append([]identity.Issuer(nil), p.Issuers...)
	p.Hosts = append([]string(nil), p.Hosts...)
	c.Servers = append([]catalog.Server(nil), c.Servers...)
	c.Policies = append([]policy.Policy(nil), c.Policies...)
	edit(&p, &c)
	v, err := documents.New(&p, &c, r.version, slog.New(slog.DiscardHandler))
	if err == nil {
		err = r.gateway.accept(v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// All that both versions allow goes on while one follows the other, and what is open stays open.
func TestReloadDropsNothing(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, mcp.SilenceComment)
			return
		}
		time.Sleep(time.Millisecond)
		answerJSON(w, req)
	})
	var calls atomic.Int32
	done := make(chan struct{})
	var all sync.WaitGroup
	for _, server := range []string{"github", "mine", "github", "mine"} {
		token := r.token(t, "alice", server)
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if resp, body := r.do(t, r.request(t, "POST", server, echo, "Authorization", "Bearer "+token)); resp.StatusCode != 200 {
					t.Errorf("%s: %d %s", server, resp.StatusCode, body)
					return
				}
				calls.Add(1)
			}
		})
	}
	lines, leave := listen(t, r, r.request(t, "GET", "github", ""))
	defer leave()
	for i := range 20 {
		before := calls.Load()
		r.change(t, func(p *catalog.Platform, c *catalog.Catalog) {
			c.Servers = append(c.Servers, catalog.Server{ID: fmt.Sprintf("more-%d", i)})
			c.Policies = append(c.Policies, policy.Policy{Name: "more", Deny: &policy.Subjects{Users: []string{"bob"}}, Servers: []string{"*"}})
			if i%2 == 0 {
				p.Issuers = p.Issuers[:1]
				p.Limits.CallsPerSecond += i
			}
		})
		for calls.Load() < before+8 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	all.Wait()
	for len(lines) > 0 {
		<-lines
	}
	expectLine(t, lines, ": keep-alive") // it is still there
	if n := r.deployer.ensured.Load(); n != 2 {
		t.Errorf("%d wakes", n)
	}
}

func TestReloadEndsListeners(t *testing.T) {
	nobody := func(_ *catalog.Platform, c *catalog.Catalog) {
		c.Policies = append(c.Policies, policy.Policy{Name: "out", Deny: &policy.Subjects{Users: []string{"alice"}}, Servers: []string{"*"}})
	}
	for name, edit := range map[string]func(*catalog.Platform, *catalog.Catalog){
		"denied":           nobody,
		"allowed no more":  func(_ *catalog.Platform, c *catalog.Catalog) { c.Policies = nil },
		"server gone":      func(_ *catalog.Platform, c *catalog.Catalog) { c.Servers = c.Servers[1:] },
		"instance gone":    func(_ *catalog.Platform, c *catalog.Catalog) { c.Servers[0].Instances.PerUser = true },
		"issuer gone":      func(p *catalog.Platform, _ *catalog.Catalog) { p.Issuers = p.Issuers[1:]; p.Issuers[0].Default = true },
		"audience gone":    func(p *catalog.Platform, _ *catalog.Catalog) { p.Issuers[0].Audiences = []string{"api://{resource}"} },
		"groups elsewhere": func(p *catalog.Platform, _ *catalog.Catalog) { p.Issuers[0].GroupsClaim = "roles" },
		"address gone":     func(p *catalog.Platform, _ *catalog.Catalog) { p.PublicURL = "https://elsewhere.test" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) { // as a shim holds a listener's leg
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: hello\n\n")
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			})
			if _, err := r.deployer.Ensure(t.Context(), (&call{server: "github", entry: &catalog.Server{}}).key()); err != nil {
				t.Fatal(err)
			}
			stays := name == "denied" || name == "allowed no more"
			awake, leave := listen(t, r, r.request(t, "GET", "github", ""))
			defer leave()
			expectLine(t, awake, "data: hello")
			asleep, leave := listen(t, r, r.request(t, "GET", "mine", ""))
			defer leave()
			bob, leave := listen(t, r, r.request(t, "GET", "mine", "", "Authorization", "Bearer "+r.token(t, "bob", "mine")))
			defer leave()
			r.change(t, edit)
			expectEnd(t, awake)
			if stays {
				expectEnd(t, asleep)
			}
			if name == "denied" {
				expectLine(t, bob, ": keep-alive")
			}
			if name == "server gone" {
				expectLine(t, asleep, ": keep-alive")
			}
			for n := 3; n > 2; time.Sleep(time.Millisecond) { // what has ended is forgotten
				r.gateway.listeners.mu.Lock()
				n = len(r.gateway.listeners.open)
				r.gateway.listeners.mu.Unlock()
			}
		})
	}
}

// A stream that is admitted by one version and begins to be listed under the next is reviewed, too.
func TestListenerBetweenVersions(t *testing.T) {
	r := newRig(t, answerJSON)
	old := r.gateway.current.Load()
	r.change(t, func(_ *catalog.Platform, c *catalog.Catalog) { c.Policies = nil })
	req := r.request(t, "GET", "github", "")
	ended := false
	c := &call{r: req, server: "github", snapshot: old, token: strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "),
		entry: &catalog.Server{}, who: identity.Identity{Issuer: "https://issuer.test", Subject: "alice", Groups: []string{"engineering"}}}
	r.gateway.listeners.add(r.gateway, c, func() { ended = true })()
	if !ended {
		t.Error("it goes on listening")
	}
}

// What was used up stays used up, and the new bounds hold for new calls.
func TestReloadOfLimits(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) { <-hold; answerJSON(w, req) })
	var under sync.WaitGroup
	under.Go(func() { _, _ = r.do(t, r.request(t, "POST", "github", echo)) })
	for r.inFlight("alice") < 1 {
		time.Sleep(time.Millisecond)
	}
	r.change(t, func(p *catalog.Platform, _ *catalog.Catalog) { p.Limits.InFlight = 1 })
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 429 {
		t.Errorf("a second call at one in flight: %d", resp.StatusCode)
	}
	close(hold)
	under.Wait()
	r.change(t, func(p *catalog.Platform, _ *catalog.Catalog) { p.Limits.CallsPerSecond, p.Limits.Burst = 1, 2 })
	refused := 0
	for range 6 {
		if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode == 429 {
			refused++
		}
	}
	if refused < 3 {
		t.Errorf("%d of 6 calls refused at a burst of 2", refused)
	}
}

// A version whose parts do not fit each other changes nothing.
func TestVersionThatDoesNotCompile(t *testing.T) {
	r := newRig(t, answerJSON)
	before := r.gateway.current.Load()
	p, c := *r.version.Platform, *r.version.Catalog
	c.Policies = []policy.Policy{{Name: "none of the two", Servers: []string{"*"}}}
	v, err := documents.New(&p, &c, r.version, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.gateway.accept(v); err == nil || r.gateway.current.Load() != before {
		t.Errorf("accepted: %v", err)
	}
}

// replacing is a deployer whose first instance is replaced in the moment in which it is ready.
type replacing struct {
	*fakeDeployer
	times atomic.Int32 // that it goes on so
}

func (d *replacing) Ensure(ctx context.Context, key deploy.Key) (deploy.Instance, error) {
	if d.times.Add(-1) >= 0 {
		return deploy.Instance{ID: "gone", URL: "unix://" + d.dir + "/gone", Cold: true}, nil
	}
	return d.fakeDeployer.Ensure(ctx, key)
}

func TestInstanceThatIsReplacedAtOnce(t *testing.T) {
	r := newRig(t, answerJSON)
	d := &replacing{fakeDeployer: r.deployer}
	r.gateway.servers.deployer = d
	for times, status := range map[int32]int{1: 200, 100: 503} { // and not for ever
		d.times.Store(times)
		r.deployer.sleep()
		if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != status {
			t.Errorf("replaced %d times: %d %s", times, resp.StatusCode, body)
		}
	}
}
