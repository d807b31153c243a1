package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/deploy"
	"mcpgateway/internal/mcp"
)

func TestUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := uses{of: map[deploy.KeyID]*use{}, swept: time.Now()}
		a, b := deploy.KeyID{Server: "a"}, deploy.KeyID{Server: "b"}
		if u.within(a, time.Hour) {
			t.Error("called before it was")
		}
		began := time.Now()
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() {
				if err := u.next(t.Context(), a, time.Minute); err != nil || time.Since(began) != 10*time.Second {
					t.Errorf("woken after %v, %v", time.Since(began), err)
				}
			})
		}
		left, leave := context.WithCancel(t.Context())
		waiting.Go(func() {
			if err := u.next(left, a, time.Minute); !errors.Is(err, context.Canceled) {
				t.Errorf("who left: %v", err)
			}
		})
		synctest.Wait()
		leave()
		time.Sleep(10 * time.Second)
		u.call(a)
		waiting.Wait()
		if err := u.next(t.Context(), a, time.Minute); err != nil || time.Since(began) != 70*time.Second {
			t.Errorf("nobody called: %v after %v", err, time.Since(began))
		}
		if u.within(a, time.Minute) || !u.within(a, time.Minute+1) {
			t.Error("the call was a minute ago")
		}
		time.Sleep(forgetUse)
		u.call(b)
		if len(u.of) != 1 {
			t.Errorf("%d are remembered", len(u.of))
		}
	})
}

// A listener's leg that ended in silence is not opened again before somebody calls: it alone would keep the server awake. A
// listener of the modern era wakes the server once, and never again.
func TestClusterListenerLetsItSleep(t *testing.T) {
	for name, request := range map[string][]string{
		"legacy": {"GET", ""},
		"modern": {"POST", `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen"}`, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"},
	} {
		var legs atomic.Int32
		r, f := newClusterRig(t, func(w http.ResponseWriter, req *http.Request) {
			if body, _ := io.ReadAll(req.Body); req.Method == "POST" && !strings.Contains(string(body), "subscriptions/listen") {
				answerJSON(w, req)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"leg\":%d}\n\n%s", legs.Add(1), mcp.SilenceComment)
		})
		woken := func() int { return f.count(func() int { return f.services["mcp-github"].woken }) }
		lines, leave := listen(t, r, r.request(t, request[0], "github", request[1], request[2:]...))
		others, leaveToo := listen(t, r, r.request(t, request[0], "github", request[1], request[2:]...))
		go func() {
			for range others { // it is not to be what keeps the first one's server awake
			}
		}()
		settle := func(want, wokenTimes int) {
			t.Helper()
			for i := 0; int(legs.Load()) < want && i < 5000; i++ {
				time.Sleep(time.Millisecond)
			}
			for quiet := 0; quiet < 2; { // comments of ours, while nothing is sent
				line, ok := <-lines
				if !ok {
					t.Fatalf("%s: the stream ended", name)
				}
				if strings.Contains(line, "keep-alive") {
					quiet++
				}
			}
			if int(legs.Load()) != want || woken() != wokenTimes {
				t.Errorf("%s: %d legs, want %d; woken %d times, want %d", name, legs.Load(), want, woken(), wokenTimes)
			}
		}
		first := map[string]int{"legacy": 0, "modern": 1}[name]
		settle(2*first, first)
		r.do(t, r.request(t, "POST", "github", echo))
		settle(2*first+2, 1)
		leaveToo()
		leave()
	}
}
