package bridge

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// A child that dies is reported at once to everybody who waits, and the next who asks gets another.
func TestChildDies(t *testing.T) {
	for _, death := range []string{"exit", "long line", "close output"} {
		t.Run(death, func(t *testing.T) {
			r := newRig(t, "plain", nil)
			s, other := r.session(), r.session()
			replies := make(chan reply, 3)
			for i := range 3 {
				go func() { replies <- r.post(call(fmt.Sprint(i), "hang", "", ""), s) }()
			}
			pipe := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "").own
			eventually(t, "three wait", func() bool { return pipe.underWay() == 3 })
			killer := r.post(call("99", death, "", ""), s)
			for range 3 {
				if got := <-replies; got.status != http.StatusBadGateway || !strings.Contains(got.body, "-32000") || !strings.Contains(got.body, `"id":`) {
					t.Errorf("who waited got %+v", got)
				}
			}
			if killer.status != http.StatusBadGateway || !strings.Contains(killer.body, `"id":99`) {
				t.Errorf("the call that did it got %+v", killer)
			}
			if got := r.post(call("1", "pid", "", ""), s); got.status != http.StatusNotFound {
				t.Errorf("the session without a child: %+v", got)
			}
			if got := r.post(call("1", "pid", "", ""), other); got.status != http.StatusOK {
				t.Errorf("another's session: %+v", got)
			}
			if got := r.post(call("1", "pid", "", ""), r.session()); got.status != http.StatusOK {
				t.Errorf("a new session: %+v", got)
			}
		})
	}
}

// In mid-stream the error is an event: a cut connection would tell nobody why.
func TestChildDiesInMidStream(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	done := make(chan reply, 1)
	go func() { done <- r.post(call("1", "progress", `{"count":100000,"ms":1}`, `"progressToken":1`), s) }()
	pipe := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "").own
	eventually(t, "the call is under way", func() bool { return pipe.underWay() == 1 })
	time.Sleep(50 * time.Millisecond)
	r.post(call("2", "exit", "", ""), s)
	got := <-done
	all := got.messages()
	if last := all[len(all)-1]; got.kind != "text/event-stream" || !strings.Contains(last, "exit status 3") || !strings.Contains(last, `"id":1,`) {
		t.Errorf("the stream ended with %q", last)
	}
}

// A server that cannot start says so to the first caller, and does not cost a process for each that follows.
func TestChildThatEndsAtOnce(t *testing.T) {
	r := newRig(t, "exits", nil)
	statuses := map[int]int{}
	for range 20 {
		got := r.post(initialize)
		statuses[got.status]++
		if strings.Contains(got.body, "licence") {
			t.Errorf("the server's words went to the caller: %s", got.body)
		}
	}
	if statuses[502] < 2 || statuses[503] < 10 {
		t.Errorf("statuses %v, want some 502 and then 503", statuses)
	}
	if log := r.log.String(); !strings.Contains(log, "no licence") || !strings.Contains(log, "exit status 7") {
		t.Errorf("the log does not say why: %s", log)
	}
	if _, err := New(Config{Command: []string{"/no/such/program"}, Max: 1, Logger: r.bridge.Logger}); err == nil {
		t.Error("a program that is not there was taken")
	}
}

func TestChildThatSaysNothing(t *testing.T) {
	r := newRig(t, "silent", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := r.do(r.request(ctx, http.MethodPost, initialize)); err == nil {
		t.Error("an answer came")
	}
	eventually(t, "its child is gone", func() bool { return len(r.bridge.sessions.pipes()) == 0 })
}

// What is no message is skipped, and what answers nothing too.
func TestGarbage(t *testing.T) {
	r := newRig(t, "greets", nil)
	s := r.session()
	if got := r.post(call("1", "garbage", "", ""), s).text(); got != "after" {
		t.Errorf("after garbage: %q", got)
	}
	if got := r.post(call("1", "wrong id", "", ""), s).text(); got != "right" {
		t.Errorf("after wrong ids: %q", got)
	}
	if log := r.log.String(); !strings.Contains(log, "Welcome to the server") || !strings.Contains(log, "answer to nothing") {
		t.Errorf("the log does not show it: %s", log)
	}
}

// An answer that comes after its client left goes nowhere, and the session goes on.
func TestAnswerAfterClientLeft(t *testing.T) {
	r := newRig(t, "plain", nil)
	s := r.session()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.do(r.request(ctx, http.MethodPost, call("1", "sleep", `{"ms":300}`, ""), s)); err == nil {
		t.Fatal("it was answered in time")
	}
	eventually(t, "the answer came and went", func() bool { return strings.Contains(r.log.String(), "answer to nothing") })
	if got := r.post(call("1", "pid", "", ""), s); got.text() == "" {
		t.Errorf("after that: %+v", got)
	}
}

// A flood is held back by its reader, kept in bounds where nobody reads, and delays nobody else.
func TestFlood(t *testing.T) {
	r := newRig(t, "plain", nil)
	s, other := r.session(), r.session()
	resp, err := http.DefaultClient.Do(r.request(t.Context(), http.MethodPost, call("1", "flood", `{"count":20000}`, ""), s))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.Sleep(100 * time.Millisecond) // it does not read: the child must wait
	if got := r.post(call("1", "pid", "", ""), other); got.text() == "" {
		t.Errorf("another's call: %+v", got)
	}
	events := mcp.NewEventReader(resp.Body, 1<<20)
	count := 0
	for {
		e, err := events.Next()
		if err != nil {
			t.Fatalf("after %d: %v", count, err)
		}
		if strings.Contains(string(e.Data), "flooded") {
			break
		}
		count++
	}
	if count != 20000 {
		t.Errorf("%d messages came, want all 20000", count)
	}
	r.post(call("2", "flood", `{"count":5000}`, ""), s, "Accept: application/json")
	session := r.bridge.sessions.find(strings.TrimPrefix(s, mcp.HeaderSession+": "), "")
	session.mu.Lock()
	defer session.mu.Unlock()
	if len(session.held) > maxHeld || session.heldBytes > maxHeldBytes || session.lost == 0 {
		t.Errorf("%d messages of %d bytes are held, %d lost", len(session.held), session.heldBytes, session.lost)
	}
}

// A child that does not read its input makes its callers wait, not the bridge.
func TestDeafChild(t *testing.T) {
	r := newRig(t, "plain", nil)
	s, other := r.session(), r.session()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for i := range 4 {
		go func() {
			big := fmt.Sprintf(`{"filler":%q}`, strings.Repeat("x", 1<<20))
			_, _ = r.do(r.request(ctx, http.MethodPost, call(fmt.Sprint(i), "deaf", big, ""), s))
		}()
	}
	if got := r.post(call("1", "pid", "", ""), other); got.text() == "" {
		t.Errorf("another's call: %+v", got)
	}
}

// The whole group ends with the child, with one that ignores SIGTERM too.
func TestGroupEnds(t *testing.T) {
	for _, manner := range []string{"plain", "stubborn"} {
		r := newRig(t, manner, nil)
		s := r.session()
		forked, err := strconv.Atoi(r.post(call("1", "fork", "", ""), s).text())
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(r.post(call("2", "pid", "", ""), s).text())
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Kill(forked, 0) != nil || syscall.Kill(pid, 0) != nil {
			t.Fatal("they do not run")
		}
		r.bridge.Stop()
		eventually(t, manner+": both are gone", func() bool { return !alive(forked) && !alive(pid) })
		if got := r.post(initialize); got.status != http.StatusServiceUnavailable {
			t.Errorf("after the stop: %+v", got)
		}
	}
}

// Who left the child's group ends with it all the same, however it ends.
func TestLeaversEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who is whose child")
	}
	for _, manner := range []string{"plain", "stubborn"} {
		for how, end := range map[string]func(r *rig, session string){
			"delete": func(r *rig, session string) { r.delete(session) },
			"stop":   func(r *rig, _ string) { r.bridge.Stop() },
			"kill":   func(r *rig, session string) { r.post(call("2", "long line", "", ""), session) },
		} {
			r := newRig(t, manner, nil)
			s := r.session()
			left, err := strconv.Atoi(r.post(call("1", "fork away", "", ""), s).text())
			if err != nil || !alive(left) {
				t.Fatal("it does not run", err)
			}
			end(r, s)
			eventually(t, manner+", "+how+": who left is gone", func() bool { return !alive(left) })
		}
	}
}

// alive does not count those that only wait for whoever reaps orphans here.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// 200 sessions at once leave nothing behind.
func TestNothingGrows(t *testing.T) {
	r := newRig(t, "plain", func(c *Config) { c.Max = 200 })
	count := func() (goroutines, descriptors int) {
		http.DefaultClient.CloseIdleConnections()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("descriptors cannot be counted here")
		}
		return runtime.NumGoroutine(), len(entries)
	}
	round := func(n int) {
		sessions := make(chan string, n)
		for range n {
			go func() {
				s := r.session()
				r.post(call("1", "progress", `{"count":2}`, `"progressToken":1`), s)
				sessions <- s
			}()
		}
		for range n {
			if got, err := r.do(r.request(t.Context(), http.MethodDelete, "", <-sessions)); err != nil || got.status != http.StatusNoContent {
				t.Fatalf("delete: %+v, %v", got, err)
			}
		}
	}
	round(5) // what is made once is made now
	time.Sleep(time.Second)
	goroutines, descriptors := count()
	round(200)
	var g, d int
	eventually(t, "all is as before", func() bool {
		g, d = count()
		return g <= goroutines+2 && d <= descriptors+2
	})
	t.Logf("before 200 sessions %d goroutines and %d descriptors, after them %d and %d", goroutines, descriptors, g, d)
}

func TestManySessions(t *testing.T) {
	if testing.Short() {
		t.Skip("starts thousands of processes")
	}
	r := newRig(t, "plain", func(c *Config) { c.Shared = true })
	var first string
	for i := range 10_000 + 10 {
		got := r.post(initialize)
		if got.status != http.StatusOK {
			t.Fatalf("session %d: %+v", i, got)
		}
		if i == 0 {
			first = mcp.HeaderSession + ": " + got.session
		}
	}
	if n := len(r.bridge.sessions.all); n > maxShared {
		t.Errorf("%d sessions are kept", n)
	}
	if got := r.post(call("1", "pid", "", ""), first); got.status != http.StatusNotFound {
		t.Errorf("the oldest: %+v", got)
	}
}
