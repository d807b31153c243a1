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
		await := func(want string) {
			t.Helper()
			for line := range lines {
				if strings.Contains(line, want) {
					return
				}
			}
			t.Fatalf("%s: the stream ended before %s", name, want)
		}
		if name == "modern" {
			await(`"leg":1`) // the acknowledgement
		} else if woken() != 0 {
			t.Errorf("%s: a listener woke the server", name)
		}
		before := legs.Load()
		await("keep-alive") // a comment of ours, while nothing is sent
		await("keep-alive")
		if legs.Load() != before {
			t.Errorf("%s: %d legs were opened while nobody called", name, legs.Load()-before)
		}
		r.do(t, r.request(t, "POST", "github", echo))
		if name == "legacy" {
			await(`"leg":1`)
		} else {
			for i := 0; legs.Load() == before && i < 5000; i++ { // its acknowledgement is not told again
				time.Sleep(time.Millisecond)
			}
		}
		await("keep-alive")
		await("keep-alive")
		if legs.Load() != before+1 || woken() != 1 {
			t.Errorf("%s: %d legs after a call, woken %d times", name, legs.Load()-before, woken())
		}
		leave()
	}
}
