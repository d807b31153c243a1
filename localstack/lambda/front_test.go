package lambda

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// All that Lambda would refuse is told at once.
func TestConfigProblems(t *testing.T) {
	_, err := Start(t.Context(), Config{
		Function: Function{Name: "a b", Program: "none", Timeout: 16 * time.Minute, Memory: 1},
		Invocable: []Function{
			{Name: "dir", Program: t.TempDir(), Env: map[string]string{"AWS_REGION": "x", "AWS_LAMBDA_RUNTIME_API": "x", "A=B": "x",
				"NUL": "\x00", "LONG": strings.Repeat("x", 4096)}},
			{Name: "file", Program: "front.go"},
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"function a b: the name", "function a b: program: stat", "function a b: timeout 16m0s", "function a b: memory 1 MB",
		"function dir: program", "function dir: environment: AWS_REGION", "AWS_LAMBDA_RUNTIME_API is", `"A=B" is no`, `"NUL" is no`,
		"function dir: environment: 4142 bytes", "front.go cannot be executed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	f := program(t, "puppet", "same")
	if _, err := Start(t.Context(), Config{Function: f, Invocable: []Function{f}}); err == nil || !strings.Contains(err.Error(), "function same: given twice") {
		t.Error(err)
	}
	f.Name = "port"
	if _, err := Start(t.Context(), Config{Function: f, Address: "127.0.0.1:99999"}); err == nil {
		t.Error("no error for a wrong port")
	}
}

// The limits are those of AWS, of the front that it is.
func TestLimits(t *testing.T) {
	url, rest := Limits{}, Limits{Rate: 1}
	url.fill(FunctionURL)
	rest.fill(RESTAPI)
	if want := (Limits{200 << 20, 6 << 20, 2 << 20, 10 * time.Second, 0}); url != want {
		t.Errorf("function URL: %+v", url)
	}
	if want := (Limits{200 << 20, 10_000_000, 1, 10 * time.Second, 5 * time.Minute}); rest != want {
		t.Errorf("REST API: %+v", rest)
	}
}

// Nothing is left when the front has ended, what runs included.
func TestClose(t *testing.T) {
	for _, by := range []string{"Close", "context"} {
		ctx, end := context.WithCancel(t.Context())
		g := newGate(t)
		f := program(t, "handler", "handler")
		f.Env["GATE"], f.Timeout = g.URL, maxTimeout
		front, err := Start(ctx, Config{Function: f})
		if err != nil {
			t.Fatal(err)
		}
		_, pid := do(t, "GET", front.URL()+"/pid", "")
		body, _ := open(t, front.URL()+"/gated")
		if by == "Close" {
			front.Close()
		} else {
			end()
		}
		if _, err := io.ReadAll(body); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the stream has an end, or goes on: %v", by, err)
		}
		front.Close()
		end()
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("%s: process %s is left", by, pid)
		}
		if _, err := http.Get(front.URL()); err == nil {
			t.Errorf("%s: the URL still answers", by)
		}
		if err := front.public.invoke(nil, "", nil); err != errClosed {
			t.Errorf("%s: invoke: %v", by, err)
		}
	}
}

// Many at once, under a limit: each is answered whole or throttled, and the bill has them all.
func TestMany(t *testing.T) {
	front, _ := startHandler(t, Config{Function: Function{Concurrency: 5}})
	statuses := make(chan int, 50)
	var clients sync.WaitGroup
	for range cap(statuses) {
		clients.Go(func() {
			got := <-goGet(t, front.URL()+"/long?bytes=100000")
			if got.status == 200 && len(got.body) != 100000 || got.err != nil {
				t.Errorf("%d: %d bytes, %v", got.status, len(got.body), got.err)
			}
			statuses <- got.status
		})
	}
	clients.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	b := front.Bill()["handler"]
	if count[200] != b.Invocations || count[429] != b.Throttled || count[200]+count[429] != 50 || b.Peak > 5 || b.Failed != 0 {
		t.Errorf("%v, bill: %v", count, b)
	}
}

func TestInMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond,
		time.Millisecond + 1: 2 * time.Millisecond} {
		if got := inMilliseconds(d); got != want {
			t.Errorf("%v: %v", d, got)
		}
	}
}

// An instance that ended while it was idle takes no invocation.
func TestEndedWhileIdle(t *testing.T) {
	front, _ := startHandler(t, Config{})
	do(t, "GET", front.URL()+"/pid", "")
	var in *instance
	eventually(t, "it is idle", func() bool {
		front.public.mu.Lock()
		defer front.public.mu.Unlock()
		if len(front.public.idle) > 0 {
			in = front.public.idle[0]
		}
		return in != nil
	})
	front.Reclaim()
	if why := in.assign(&invocation{}); why == nil || why.Type != "Runtime.ExitError" {
		t.Errorf("assigned: %v", why)
	}
	for in.state = range idle + 1 {
		if in.asks() {
			t.Errorf("in state %d it may still ask", in.state)
		}
	}
}

// What runs is billed until now.
func TestBillOfWhatRuns(t *testing.T) {
	front, g := startHandler(t, Config{})
	body, _ := open(t, front.URL()+"/gated")
	before := front.Bill()["handler"].Billed
	time.Sleep(5 * time.Millisecond)
	if after := front.Bill()["handler"].Billed; after < before+4*time.Millisecond {
		t.Errorf("%v, then %v", before, after)
	}
	g.let(t, "end")
	if _, err := io.ReadAll(body); err != nil {
		t.Error(err)
	}
	eventually(t, "it is idle", func() bool { front.Reclaim(); return places(front) == 0 })
	after := front.Bill()["handler"].Billed
	time.Sleep(5 * time.Millisecond)
	if again := front.Bill()["handler"].Billed; again != after {
		t.Errorf("nothing runs: %v, then %v", after, again)
	}
}
