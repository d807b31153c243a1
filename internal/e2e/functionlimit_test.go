package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/mcptest"
	"mcpgateway/localstack/lambda"
)

// Of fifty calls at once on a limit of twenty the front refuses thirty. None of the twenty notices, and nobody afterwards.
func TestFunctionLimit(t *testing.T) {
	const calls, limit = 50, 20
	refused, open := make(chan struct{}, calls), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if mcptest.Discovered(w, body) {
			return
		}
		if strings.Contains(string(body), `"held"`) {
			select {
			case <-open:
			case <-r.Context().Done():
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"served"}]}}`)
	}))
	defer server.Close()
	port := server.URL[strings.LastIndexByte(server.URL, ':')+1:]
	s := startAs(t, layout{
		servers:  fmt.Sprintf("  - {id: far, runtime: {remote: {url: %q}}, egress: [{cidr: 127.0.0.1/32, ports: [%s]}], scale: {idle: 1m}}\n", server.URL, port),
		policies: "  - {name: far, allow: {groups: [engineering]}, servers: [far]}\n",
		front:    &lambda.Config{Function: lambda.Function{Concurrency: limit}}})
	alice := s.token("alice", "far", engineering)
	var served atomic.Int32
	call := func(tool string) {
		resp, err := http.DefaultTransport.RoundTrip(s.callRequest("far", alice, tool, `{}`))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		switch {
		case resp.StatusCode == 429:
			refused <- struct{}{}
		case resp.StatusCode == 200 && err == nil && strings.Contains(string(body), "served"):
			served.Add(1)
		default:
			t.Errorf("%s: %d %s, %v", tool, resp.StatusCode, body, err)
		}
	}
	call("first") // it wakes the server
	var all sync.WaitGroup
	for range calls {
		all.Go(func() { call("held") })
	}
	late := time.AfterFunc(20*time.Second, func() { close(open) }) // too few were refused: the numbers below say so
	for n := 0; n < calls-limit; n++ {
		select {
		case <-refused:
		case <-open:
			n = calls
		}
	}
	if late.Stop() {
		close(open)
	}
	all.Wait()
	for range calls {
		call("after")
	}
	if b := s.bill(); served.Load() != 1+limit+calls || len(refused) > 0 || b.Throttled != calls-limit || b.Failed != 0 || b.Peak != limit {
		t.Errorf("%d calls, %d more refused; bill: %v", served.Load(), len(refused), b)
	}
}

// lasting skips a test that takes minutes, but where the variable says how long.
func lasting(t *testing.T, variable string) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		t.Skipf("it takes minutes: %s, a duration, is not set", variable)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A function that was frozen for as long as the variable says serves as before: its connections are stale by then, its server
// sleeps, and a token that ended meanwhile opens nothing, though it was good when it was looked at last.
func TestFunctionFrozenForLong(t *testing.T) {
	const leeway = 2 * time.Minute // twice what clocks may differ by
	duration := lasting(t, "TEST_FROZEN")
	s := startAs(t, layout{front: &lambda.Config{}})
	brief := s.main.Token(t, "alice", s.resource("sample"), []string{engineering}, identitytest.Claims{"exp": time.Now().Add(10 * time.Second).Unix()})
	if resp, body := s.call("sample", brief, "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Fatalf("before: %d %s", resp.StatusCode, body)
	}
	time.Sleep(duration)
	if n := len(s.processes("")); n != 0 {
		t.Errorf("%d processes of the server's", n)
	}
	began := time.Now()
	if resp, body := s.call("sample", s.token("alice", "sample", engineering), "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Errorf("after %v: %d %s", duration, resp.StatusCode, body)
	}
	t.Logf("after %v the first call took %v", duration, time.Since(began).Round(time.Millisecond))
	if resp, body := s.call("sample", brief, "echo", `{"message":"x"}`); duration > leeway && resp.StatusCode != 401 {
		t.Errorf("a token that ended: %d %s", resp.StatusCode, body)
	}
	if b := s.bill(); b.Instances != 1 || b.Failed != 0 || s.starts() != 2 {
		t.Errorf("bill: %v, %d starts", b, s.starts())
	}
}

// A hundred clients of both eras who listen, for as long as the variable says, to a server that sleeps: they come one after
// the other in the time of one poll, and then as they are told to.
func TestFunctionListenersForLong(t *testing.T) {
	const listeners = 100
	duration := lasting(t, "TEST_LISTENING")
	s := startAs(t, layout{front: &lambda.Config{}})
	alice, began := s.token("alice", "sample", engineering), time.Now()
	var all sync.WaitGroup
	var polls, listened atomic.Int64
	for i := range listeners {
		all.Go(func() {
			time.Sleep(min(duration, 30*time.Second) * time.Duration(i) / listeners)
			start := time.Now()
			for time.Since(began) < duration {
				time.Sleep(s.poll(alice, i%2 == 0))
				polls.Add(1)
			}
			listened.Add(int64(time.Since(start)))
		})
	}
	all.Wait()
	b := s.bill()
	perHour := b.Billed.Hours() * 3600 / time.Duration(listened.Load()).Hours()
	t.Logf("%d listeners for %v: %.2f function-seconds for each listener and hour, %d polls; %v", listeners, duration, perHour, polls.Load(), b)
	if b.Failed > 0 || b.Throttled > 0 || s.starts() != 0 || perHour > 10 {
		t.Errorf("%d starts", s.starts())
	}
}

// poll listens once, in the legacy or the modern era, and returns after what time the client is to come back.
func (s *system) poll(token string, legacy bool) time.Duration {
	r := s.request("GET", "sample", token, "", "MCP-Protocol-Version", "2025-11-25")
	if !legacy {
		r = s.request("POST", "sample", token, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+modernMeta+`}}`,
			"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Error(err)
		return time.Minute
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	body := string(text)
	var ms time.Duration
	if _, scanned := fmt.Sscanf(body[max(0, strings.LastIndex(body, "retry:")):], "retry: %d\n\n", &ms); scanned != nil || err != nil || resp.StatusCode != 200 {
		s.t.Errorf("poll: %d %q, %v", resp.StatusCode, body, err)
		return time.Minute
	}
	return ms * time.Millisecond
}
