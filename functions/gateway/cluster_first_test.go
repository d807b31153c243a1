package main

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/deploy"
)

// What the cluster does not have is made, once for all who ask, and then each call is sent and run once.
func TestClusterDeploysByFirstCall(t *testing.T) {
	var ran atomic.Int32
	r, f := newClusterRig(t, func(w http.ResponseWriter, req *http.Request) { ran.Add(1); answerJSON(w, req) })
	clear(f.services)
	f.lag, f.half = 3, 3 // the ingress learns of it a little later, and bit by bit
	made := make(chan struct{})
	f.ensure = func(deploy.Key) error { <-made; return nil }
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 {
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
		})
	}
	for i := 0; r.gateway.servers.waitingFor()["github"] < 10 && i < 5000; i++ {
		time.Sleep(time.Millisecond)
	}
	close(made)
	callers.Wait()
	if f.ensured != 1 || ran.Load() != 10 || f.asked != 0 {
		t.Errorf("ensured %d times, ran %d times, the API was asked %d times", f.ensured, ran.Load(), f.asked)
	}
}

// A server that somebody else has just made, and the ingress knows by half, gets its first call all the same, once. One that was
// called before is sent its call without a question.
func TestClusterFirstCallOfANewServer(t *testing.T) {
	var ran atomic.Int32
	r, f := newClusterRig(t, func(w http.ResponseWriter, req *http.Request) { ran.Add(1); answerJSON(w, req) })
	f.set("mcp-github", func(s *fakeService) { s.stranger, s.strangers = http.StatusBadGateway, 3 })
	for n, sent := range []int{5, 6} { // three in vain, one to be heard, and the call
		if resp, body := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 200 || int(ran.Load()) != n+1 || len(f.hosts) != sent {
			t.Errorf("call %d: %d %s, ran %d times, sent %d", n+1, resp.StatusCode, body, ran.Load(), len(f.hosts))
		}
	}
	f.set("mcp-github", func(s *fakeService) { s.stranger = http.StatusBadGateway })
	if resp, _ := r.do(t, r.request(t, "POST", "github", echo)); resp.StatusCode != 503 || f.ensured != 0 {
		t.Errorf("%d, ensured %d times", resp.StatusCode, f.ensured)
	}
}
