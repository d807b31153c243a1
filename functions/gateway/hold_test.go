package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// holdable is a shim whose calls are two events, the second when the test says so. It tells what it is asked to wait for.
type holdable struct {
	first  string
	answer chan struct{}
	waits  chan string   // ids, of requests that hold it up
	waited chan struct{} // each ends with one
	cut    atomic.Bool   // they are cut off on their way instead, once
	over   atomic.Int32  // how many were left
	end    chan struct{} // of the test
}

func (s *holdable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	if r.Header.Get(mcp.HeaderHold) != "" {
		_ = out.Flush()
		s.waits <- r.Method + " " + r.Header.Get("Last-Event-Id") + " " + r.Header.Get(mcp.HeaderSession)
		select {
		case <-s.waited:
			if s.cut.CompareAndSwap(true, false) {
				panic(http.ErrAbortHandler)
			}
		case <-r.Context().Done():
			s.over.Add(1)
		case <-s.end:
		}
		return
	}
	_, _ = io.WriteString(w, s.first)
	_ = out.Flush()
	select {
	case <-s.answer:
		_, _ = io.WriteString(w, rest)
	case <-s.end:
	}
}

func newHoldable() *holdable {
	return &holdable{first: "id: r1.x.1\ndata: \n\n", answer: make(chan struct{}, 10), waits: make(chan string, 10), waited: make(chan struct{}, 10), end: make(chan struct{})}
}

// finish lets everything go when the test is over, before what it runs in is closed.
func (s *holdable) finish(t *testing.T) { t.Cleanup(func() { close(s.end) }) }

// abandon makes a call whose client leaves after some of its answer.
func (r *rig) abandon(t *testing.T, after string, header ...string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := http.DefaultTransport.RoundTrip(r.request(t, "POST", "github", echo, append(header, mcp.HeaderSession, "s")...).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, len(after))); err != nil {
		t.Fatal(err)
	}
}

func (s *holdable) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.waits:
		if got != want {
			t.Errorf("held up by %q, want %q", got, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing holds it up")
	}
}

const holding = "GET r1.x.1 s"

// When a client leaves in the middle of a call whose answer it can take up, the gateway waits in its place: by a request of its
// own, from then on and until the shim ends it; again where that is cut off. Its user's bounds do not count it.
func TestInstanceIsHeldUp(t *testing.T) {
	shim := newHoldable()
	processes := newRig(t, shim.ServeHTTP)
	clusters, f := newClusterRig(t, shim.ServeHTTP)
	shim.finish(t)
	f.set("mcp-github", func(s *fakeService) { s.actual, s.desired = 1, 1 })
	for name, r := range map[string]*rig{"processes": processes, "a cluster": clusters} {
		t.Run(name, func(t *testing.T) {
			shim.cut.Store(true)
			r.abandon(t, shim.first)
			shim.expect(t, holding)
			shim.answer <- struct{}{}
			deadline := time.Now().Add(5 * time.Second)
			for ; r.gateway.limits.inFlight() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the call is counted still")
				}
			}
			shim.waited <- struct{}{} // cut off
			shim.expect(t, holding)
			shim.waited <- struct{}{}
			for ; r.gateway.holding.Load() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it is held for ever")
				}
			}
		})
	}
}

// What sleeps is not woken for who might come back.
func TestHoldsWakeNothing(t *testing.T) {
	shim := newHoldable()
	r := newRig(t, shim.ServeHTTP)
	shim.finish(t)
	c := &call{snapshot: r.gateway.current.Load(), server: "github", r: &http.Request{Header: http.Header{}}}
	c.entry, _ = c.catalog.Server("github")
	if r.gateway.hold(c.holder("r1.x.1")); len(shim.waits) > 0 || r.deployer.ensured.Load() > 0 {
		t.Error("it is woken")
	}
}

func (l *limits) inFlight() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.usage {
		n += u.inFlight
	}
	return n
}

// A gateway that leaves waits for nobody.
func TestHoldsEndWithTheGateway(t *testing.T) {
	shim := newHoldable()
	r := newRig(t, shim.ServeHTTP)
	shim.finish(t)
	r.abandon(t, shim.first)
	shim.expect(t, holding)
	shim.answer <- struct{}{}
	r.gateway.leave()
	for deadline := time.Now().Add(5 * time.Second); shim.over.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it waits")
		}
	}
}

// Nothing is held up for a client that has all of the answer, that stays to the end, that cannot take it up, or whose leaving
// ends the call; nor where a moment costs.
func TestNothingToHoldUpFor(t *testing.T) {
	shim := newHoldable()
	r := newRig(t, shim.ServeHTTP)
	shim.finish(t)
	shim.answer <- struct{}{}
	if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 || !strings.HasSuffix(body, rest) {
		t.Fatalf("%d %q", resp.StatusCode, body)
	}
	shim.answer <- struct{}{}
	if got := r.meter(t, time.Minute, r.request(t, "POST", "github", echo)); !strings.HasSuffix(got.body, rest) {
		t.Fatalf("%+v", got)
	}
	r.abandon(t, shim.first, "Mcp-Protocol-Version", mcp.ModernVersion, "Mcp-Method", "tools/call", "Mcp-Name", "echo")
	shim.answer <- struct{}{}
	shim.first = "id: own\ndata: 1\n\n"
	r.abandon(t, shim.first)
	shim.answer <- struct{}{}
	shim.first = "data: 1\n\n"
	r.abandon(t, shim.first)
	shim.answer <- struct{}{}
	time.Sleep(200 * time.Millisecond)
	if len(shim.waits) > 0 {
		t.Errorf("held up by %q", <-shim.waits)
	}
}

// What comes once the client left is not sent, though a connection may take it for a while: its id is not one that the client has.
func TestNothingArrivesAtWhoLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	out := httptest.NewRecorder()
	w := newEventWriter(&call{w: out, r: httptest.NewRequestWithContext(ctx, "POST", "/", nil)}, time.Hour)
	defer w.stop()
	const first = "id: r1.x.1\ndata: \n\n"
	if err := w.write([]byte(first)); err != nil {
		t.Fatal(err)
	}
	leave()
	if err := w.write([]byte(rest)); err == nil || w.lastID() != "r1.x.1" || out.Body.String() != first {
		t.Errorf("%v, the last is %q, sent was %q", err, w.lastID(), out.Body)
	}
}
