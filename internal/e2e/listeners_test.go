package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mcpgateway/internal/identity/identitytest"
)

// A thousand legacy clients listen, in sessions that they opened before, to servers that sleep: for TEST_LISTENING, or for some
// seconds. Nobody wakes, no stream ends, each is kept alive, and of servers that are called then only those start.
func TestListenersOfSleepingServers(t *testing.T) {
	t.Parallel()
	const servers, each = 20, 50
	duration := 5 * time.Second
	if text := os.Getenv("TEST_LISTENING"); text != "" {
		duration = lasting(t, "TEST_LISTENING")
	}
	var entries, ids []string
	for i := range servers {
		ids = append(ids, fmt.Sprintf("s%d", i))
		entries = append(entries, fmt.Sprintf("  - {id: s%d, runtime: {command: {exec: %s, args: [-addr, \"127.0.0.1:{port}\"], http: {}}}, scale: {idle: %s}}\n",
			i, filepath.Join(programs, "sample-server"), idle))
	}
	s := startAs(t, layout{servers: strings.Join(entries, ""), alone: true,
		policies: fmt.Sprintf("  - {name: all, allow: {groups: [engineering]}, servers: [%s]}\n", strings.Join(ids, ", "))})
	client := &http.Client{Transport: &http.Transport{}}
	var open, comments atomic.Int64
	var all sync.WaitGroup
	var streams []*http.Response
	for i := range servers * each {
		server := ids[i/each] // which stays awake while its sessions begin
		token := s.main.Token(t, fmt.Sprintf("user-%d", i), s.resource(server), []string{engineering}, identitytest.Claims{"exp": time.Now().Add(duration + time.Hour).Unix()})
		resp, err := client.Do(s.request("GET", server, token, "", "Mcp-Session-Id", s.session(server, token), "MCP-Protocol-Version", "2025-11-25"))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 {
			t.Fatalf("listener %d: %s", i, resp.Status)
		}
		streams = append(streams, resp)
		open.Add(1)
		all.Go(func() {
			defer open.Add(-1)
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), ":") {
					comments.Add(1)
				}
			}
		})
	}
	defer func() {
		for _, resp := range streams {
			_ = resp.Body.Close()
		}
		all.Wait()
	}()
	s.eventually("all servers sleep", time.Minute, func() bool { return len(s.processes("")) == 0 })
	starts, began := s.starts(), time.Now()
	for time.Since(began) < duration {
		time.Sleep(min(time.Second, duration/5))
		if n := len(s.processes("")); n > 0 || s.starts() > starts || open.Load() != servers*each {
			t.Fatalf("after %v: %d processes, %d starts, %d of %d listeners", time.Since(began), n, s.starts()-starts, open.Load(), servers*each)
		}
	}
	if quiet := duration > time.Minute; quiet && comments.Load() < int64(servers*each) {
		t.Errorf("%d comments", comments.Load())
	}
	t.Logf("%d listeners of %d servers for %v: none awake, none ended, %d comments", servers*each, servers, time.Since(began).Round(time.Second), comments.Load())
	if resp, body := s.call("s0", s.token("carol", "s0", engineering), "echo", `{"message":"x"}`); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if n := s.starts() - starts; n != 1 {
		t.Errorf("a call has %d servers start", n)
	}
}
