package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// wishfulServer is the argument with which the test program is an MCP server by mcp-go that tells what it was asked of a session.
const wishfulServer = "-wishful-server"

func serveWishful(port string) {
	var mu sync.Mutex
	watched := map[string][]string{} // by session
	hooks := &server.Hooks{}
	hooks.AddAfterSubscribe(func(ctx context.Context, _ any, m *mcp.SubscribeRequest, _ *mcp.EmptyResult) {
		mu.Lock()
		defer mu.Unlock()
		id := server.ClientSessionFromContext(ctx).SessionID()
		watched[id] = append(watched[id], m.Params.URI)
	})
	s := server.NewMCPServer("wishful", "1", server.WithToolCapabilities(false), server.WithLogging(), server.WithResourceCapabilities(true, false), server.WithHooks(hooks))
	s.AddTool(mcp.NewTool("asked"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		mu.Lock()
		defer mu.Unlock()
		session := server.ClientSessionFromContext(ctx)
		level := session.(server.SessionWithLogging).GetLogLevel()
		return mcp.NewToolResultText(fmt.Sprint(os.Getpid(), " ", level, " ", watched[session.SessionID()])), nil
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(net.JoinHostPort("127.0.0.1", port), server.NewStreamableHTTPServer(s))) //nolint:gosec // a test's
	os.Exit(1)
}

// startWishful is a system with such servers and a session store.
func startWishful(t *testing.T) *system {
	t.Helper()
	entry := func(id, more string) string {
		return fmt.Sprintf("  - {id: %s, runtime: {command: {exec: %q, args: [%s, \"{port}\"], http: {}}}, scale: {idle: %s}%s}\n", id, os.Args[0], wishfulServer, idle, more)
	}
	s := startAs(t, layout{platform: "sessions: {}\n", servers: entry("wishful", "") + entry("strict", ", sessions: strict"),
		policies: "  - {name: wishful, allow: {groups: [engineering]}, servers: [wishful, strict]}\n"})
	s.startSessionsHere()
	return s
}

func (s *system) startSessionsHere() {
	s.startSessions("unix", filepath.Join(s.dir, ".run", "sessions", "sessions.sock"))
}

// startSessions starts the session store, where the platform says that it is.
func (s *system) startSessions(network, address string) {
	s.t.Helper()
	s.sessions = s.start("sessions", network, address)
}

func (s *system) stopSessions() {
	s.t.Helper()
	if err := s.sessions.Stop(); err != nil {
		s.t.Error(err)
	}
	s.sessions = nil
}

// wisher is a client by mcp-go in a legacy session.
func (s *system) wisher(id string) *client.Client {
	s.t.Helper()
	way, err := transport.NewStreamableHTTP(s.resource(id), transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + s.token("alice", id, engineering)}))
	if err != nil {
		s.t.Fatal(err)
	}
	c := client.NewClient(way)
	s.t.Cleanup(func() { _ = c.Close() })
	hello := mcp.InitializeRequest{}
	hello.Params.ClientInfo, hello.Params.ProtocolVersion = mcp.Implementation{Name: "e2e", Version: "1"}, "2025-11-25"
	if err = c.Start(s.t.Context()); err == nil {
		_, err = c.Initialize(s.t.Context(), hello)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// asked is what a client's server was asked of its session, after the server's process.
func (s *system) asked(c *client.Client) (process, wishes string) {
	s.t.Helper()
	call := mcp.CallToolRequest{}
	call.Params.Name = "asked"
	got, err := c.CallTool(s.t.Context(), call)
	if err != nil || len(got.Content) != 1 {
		s.t.Fatalf("%+v, %v", got, err)
	}
	process, wishes, _ = strings.Cut(got.Content[0].(mcp.TextContent).Text, " ")
	return process, wishes
}

func (s *system) asleep() {
	s.t.Helper()
	s.eventually("the groups are gone", 20*time.Second, func() bool { return len(s.processes("")) == 0 })
}

func level(t *testing.T, c *client.Client, l mcp.LoggingLevel) {
	t.Helper()
	r := mcp.SetLevelRequest{}
	r.Params.Level = l
	if err := c.SetLevel(t.Context(), r); err != nil { //nolint:staticcheck // legacy clients have no other
		t.Fatal(err)
	}
}

func watch(t *testing.T, c *client.Client, uri string) {
	t.Helper()
	r := mcp.SubscribeRequest{}
	r.Params.URI = uri
	if err := c.Subscribe(t.Context(), r); err != nil { //nolint:staticcheck // likewise
		t.Fatal(err)
	}
}

// Log level and subscriptions that an SDK's client asked for are those of every server that its session has, over two sleeps,
// with a change in between; nobody but the session's own server sees its record.
func TestWishesOutliveSleeps(t *testing.T) {
	s := startWishful(t)
	c, other := s.wisher("wishful"), s.wisher("wishful")
	level(t, c, mcp.LoggingLevelDebug)
	watch(t, c, "file:///a")
	watch(t, c, "file:///b")
	seen := []string{}
	for n, want := range []string{"debug [file:///a file:///b]", "debug [file:///a file:///b]", "critical [file:///b file:///c]"} {
		process, wishes := s.asked(c)
		if wishes != want || slices.Contains(seen, process) {
			t.Errorf("life %d: %s of process %s, before: %v", n+1, wishes, process, seen)
		}
		if _, wishes := s.asked(other); wishes != "error []" {
			t.Errorf("life %d: another session's: %s", n+1, wishes)
		}
		seen = append(seen, process)
		if n == 1 {
			level(t, c, mcp.LoggingLevelCritical)
			watch(t, c, "file:///c")
			r := mcp.UnsubscribeRequest{}
			r.Params.URI = "file:///a"
			if err := c.Unsubscribe(t.Context(), r); err != nil { //nolint:staticcheck // likewise
				t.Fatal(err)
			}
		}
		s.asleep()
	}
	strict := s.wisher("strict")
	level(t, strict, mcp.LoggingLevelDebug)
	if _, err := os.Stat(filepath.Join(s.dir, "secrets", "strict-shim", "sessions")); !os.IsNotExist(err) {
		t.Errorf("a strict server's shim has a token: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, ".run", "sessions", "sessions.db"))
	if err != nil || strings.Contains(string(b), "file:///") || strings.Contains(string(b), "alice") {
		t.Errorf("the store reads what it keeps: %v", err)
	}
}

// A session that its client ended is not found for ever, whatever sleeps and starts meanwhile: the server, the store.
func TestEndedOutlivesSleeps(t *testing.T) {
	s := startWishful(t)
	token := s.token("alice", "wishful", engineering)
	id, other := s.session("wishful", token), s.session("wishful", token)
	within := func(method, body, id string) int {
		resp, _ := s.do(s.request(method, "wishful", token, body, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25"))
		return resp.StatusCode
	}
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"asked","arguments":{}}}`
	if status := within("DELETE", "", id); status >= 300 {
		t.Fatalf("DELETE: %d", status)
	}
	for n := range 3 {
		if status := within("POST", call, id); status != http.StatusNotFound {
			t.Errorf("life %d: %d", n+1, status)
		}
		if status := within("POST", call, other); status != http.StatusOK {
			t.Errorf("life %d: another session: %d", n+1, status)
		}
		s.asleep()
		s.stopSessions()
		s.startSessionsHere()
	}
}

// With the store down calls go on, and what is asked for holds in this life; when it is back it is kept.
func TestSessionStoreIsDown(t *testing.T) {
	s := startWishful(t)
	c := s.wisher("wishful")
	level(t, c, mcp.LoggingLevelDebug)
	s.stopSessions()
	watch(t, c, "file:///a")
	if _, wishes := s.asked(c); wishes != "debug [file:///a]" {
		t.Errorf("with the store down: %s", wishes)
	}
	s.startSessionsHere()
	s.asleep() // by then the shim has said what it had to
	if _, wishes := s.asked(c); wishes != "debug [file:///a]" {
		t.Errorf("kept when it was back: %s", wishes)
	}
	s.asleep()
	s.stopSessions()
	if _, wishes := s.asked(c); wishes != "error []" {
		t.Errorf("woken without the store: %s", wishes)
	}
	s.startSessionsHere()
	s.eventually("the server is asked for it after all", 20*time.Second, func() bool {
		_, wishes := s.asked(c)
		return wishes == "debug [file:///a]"
	})
}
