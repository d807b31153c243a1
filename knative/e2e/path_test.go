package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The first call of a server that the cluster does not know, its sleep while a client listens, and its wake.
func TestDeployedBySleepsAndWakes(t *testing.T) {
	s := start(t, documents{servers: sample("path", ""), policies: everybody})
	alice := s.token("alice", "path")
	first := s.echo("path", alice, "first")
	if !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	t.Logf("deployed, woken and answered in %v (%s)", first.took, first.header.Get("Server-Timing"))
	if pods := s.pods("path"); len(pods) != 1 {
		t.Fatalf("%d pods run", len(pods))
	}
	warm := s.echo("path", alice, "warm")
	if !warm.echoes("warm") {
		t.Fatalf("a warm call: %v", warm)
	}
	t.Logf("warm in %v", warm.took)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	listener, err := http.DefaultTransport.RoundTrip(s.request("path", alice, "subscriptions/listen", `"notifications":{"toolsListChanged":true},`).WithContext(ctx))
	if err != nil || listener.StatusCode != http.StatusOK {
		t.Fatalf("listen: %v, %v", listener, err)
	}
	defer listener.Body.Close()
	var ended atomic.Bool
	go func() {
		for lines := bufio.NewScanner(listener.Body); lines.Scan(); {
		}
		ended.Store(true)
	}()
	asleep := s.eventually("the pods are gone", 2*time.Minute, func() bool { return len(s.pods("path")) == 0 })
	t.Logf("asleep %v after the last call, with a silent listener open", asleep.Round(time.Second))
	// What asks the server to do nothing must not wake it.
	ping := ask(s.request("path", alice, "ping", ""))
	time.Sleep(2 * time.Second)
	if pods := s.pods("path"); len(pods) != 0 {
		t.Errorf("a ping (%v), or the listener, woke it", ping)
	}
	if ended.Load() {
		t.Error("the listener was dropped when the server fell asleep")
	}
	woken := s.echo("path", alice, "again")
	if !woken.echoes("again") {
		t.Fatalf("waking: %v", woken)
	}
	t.Logf("woken and answered in %v (%s)", woken.took, woken.header.Get("Server-Timing"))
}

// A wake asks no identity provider.
func TestWakeWithIssuerDown(t *testing.T) {
	s := start(t, documents{servers: sample("down", ""), policies: everybody})
	alice := s.token("alice", "down")
	if first := s.echo("down", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	s.eventually("the pods are gone", 2*time.Minute, func() bool { return len(s.pods("down")) == 0 })
	s.issuer.Close()
	if woken := s.echo("down", alice, "again"); !woken.echoes("again") {
		t.Errorf("with the issuer down: %v", woken)
	}
}

// A new shape of an entry is a new revision, and no call fails meanwhile, or waits for it to start.
func TestCatalogChangeUnderLoad(t *testing.T) {
	tally := newTally(t)
	s := start(t, documents{servers: tally.counted("change", ""), policies: everybody})
	alice := s.token("alice", "change")
	if first := s.echo("change", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	before := s.revision("change")
	load := s.load("change", alice)
	s.documents.servers = tally.counted("change", ", env: [{name: LEVEL, value: debug}]")
	s.writeCatalog()
	moved := false
	took := s.eventually("a new revision serves", 90*time.Second, func() bool {
		now := s.revision("change")
		pods := s.pods("change")
		if now != before && !moved {
			moved = true
			if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return strings.HasPrefix(p.Name, now) && takesCalls(p) }) {
				t.Errorf("calls move to %s, which has no pod yet", now)
			}
		}
		return now != before && len(pods) == 1 && strings.HasPrefix(pods[0].Name, now)
	})
	t.Logf("the new revision alone runs %v after the change", took.Round(100*time.Millisecond))
	tally.check(t, load.end(t))
	s.eventually("the old revision is deleted", 90*time.Second, func() bool { return !s.hasRevision(before) })
}

func takesCalls(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// A policy that is taken back is in force within a minute, and restarts nothing.
func TestRevokedPolicy(t *testing.T) {
	s := start(t, documents{servers: sample("revoked", ""), policies: everybody})
	alice := s.token("alice", "revoked")
	if first := s.echo("revoked", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	revision, pod := s.revision("revoked"), s.pods("revoked")[0].Name
	s.documents.policies += "  - {name: no-echo, deny: {anyone: true}, servers: [revoked], tools: [echo]}\n"
	s.writeCatalog()
	took := s.eventually("the call is refused", 60*time.Second, func() bool {
		a := s.echo("revoked", alice, "x") // keeps it awake, too
		time.Sleep(time.Second)
		return strings.Contains(a.body, "-32001")
	})
	t.Logf("in force after %v", took.Round(time.Second))
	if pods := s.pods("revoked"); s.revision("revoked") != revision || len(pods) != 1 || pods[0].Name != pod {
		t.Error("a policy made a new revision, or another pod")
	}
}

// Gateway and deployer end and come back under load: no call is lost or answered twice.
func TestRestartsUnderLoad(t *testing.T) {
	tally := newTally(t)
	s := start(t, documents{servers: tally.counted("restart", ""), policies: everybody})
	alice := s.token("alice", "restart")
	if first := s.echo("restart", alice, "first"); !first.echoes("first") {
		t.Fatalf("the first call: %v", first)
	}
	load := s.load("restart", alice)
	for range 2 {
		if err := syscall.Kill(s.deployer.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = s.deployer.Stop() // says that it ended by itself: that is what a crash is
		time.Sleep(time.Second)
		s.startDeployer()
		if err := s.gateway.Stop(); err != nil { // which lets calls under way end
			t.Fatal(err)
		}
		s.startGateway()
		time.Sleep(time.Second)
	}
	tally.check(t, load.end(t))
}

// load is what calls one after the other, from some clients at once.
type load struct {
	done    chan struct{}
	clients sync.WaitGroup
	mu      sync.Mutex
	calls   []string // what each said, which no other did
	slowest time.Duration
	bad     []string
}

func (s *system) load(server, token string) *load {
	l := &load{done: make(chan struct{})}
	for client := range 4 {
		l.clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				text := fmt.Sprintf("call %d of %d", n, client)
				l.note(persist(s.toolCall(server, token, "echo", fmt.Sprintf(`{"message":%q}`, text))), text)
			}
		})
	}
	return l
}

// fresh connects for each call: one that idles would end with its gateway, perhaps in the moment of the next call.
var fresh = &http.Transport{DisableKeepAlives: true}

// persist asks until a gateway is there to take the call. One that was taken is never sent again.
func persist(r *http.Request) answer {
	began := time.Now()
	for {
		body, err := r.GetBody()
		if err != nil {
			return answer{err: err}
		}
		r.Body = body
		a := askBy(fresh, r)
		if a.took = time.Since(began); !errors.Is(a.err, syscall.ECONNREFUSED) || a.took > 30*time.Second {
			return a
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *load) note(a answer, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, text)
	l.slowest = max(l.slowest, a.took)
	if !a.echoes(text) {
		l.bad = append(l.bad, a.String())
	}
}

// end ends the load, tells what came of it, and returns what was said.
func (l *load) end(t *testing.T) []string {
	t.Helper()
	close(l.done)
	l.clients.Wait()
	t.Logf("%d calls, %d failed, the slowest took %v", len(l.calls), len(l.bad), l.slowest.Round(time.Millisecond))
	if len(l.bad) > 0 || len(l.calls) < 50 {
		t.Errorf("%d of %d calls failed, the first: %q", len(l.bad), len(l.calls), l.bad[:min(len(l.bad), 5)])
	}
	return l.calls
}
