package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
)

// legacySession is a session of a client of the legacy era.
type legacySession struct {
	*system
	server, token, id string
}

func (s *system) legacySession(server, token string) *legacySession {
	s.t.Helper()
	hello := ask(s.legacy(server, token, "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`))
	l := &legacySession{s, server, token, hello.header.Get(mcp.HeaderSession)}
	if hello.status != http.StatusOK || l.id == "" {
		s.t.Fatalf("initialize: %v", hello)
	}
	if told := ask(l.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)); told.status != http.StatusAccepted {
		s.t.Fatalf("initialized: %v", told)
	}
	return l
}

func (l *legacySession) post(body string) *http.Request {
	return l.legacy(l.server, l.token, l.id, body)
}

// resume asks for what followed an event.
func (l *legacySession) resume(last string) *http.Request {
	r := l.post("")
	r.Method = http.MethodGet
	r.Header.Set("Last-Event-Id", last)
	return r
}

// lose makes a call that tells of its progress, and loses the connection after an event with data.
func (l *legacySession) lose(tool, arguments string) (last string) {
	l.t.Helper()
	ctx, leave := context.WithCancel(l.t.Context())
	defer leave()
	resp, err := http.DefaultTransport.RoundTrip(l.post(`{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments +
		`,"_meta":{"progressToken":1}}}`).WithContext(ctx))
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	for events := mcp.NewEventReader(resp.Body, 1<<20); ; {
		e, err := events.Next()
		if err != nil {
			l.t.Fatalf("%d, %v", resp.StatusCode, err)
		}
		if len(e.Data) > 0 && e.ID != nil {
			return string(e.ID)
		}
	}
}

// A reply that came while its client was away waits for it longer than the pod may idle, is delivered once, and lets the pod go.
// Servers of one era answer clients of the other.
func TestLegacyClients(t *testing.T) {
	speaking := func(era string) string {
		return fmt.Sprintf("  - {id: %s, title: Sample, runtime: {container: {image: %s, port: 8090, args: [-addr, \"127.0.0.1:8090\", -eras, %[1]s]}}, scale: {idle: %[3]s}}\n",
			era, sampleImage, window)
	}
	s := start(t, documents{servers: sample("waits", "") + speaking("legacy") + speaking("modern"), policies: everybody})
	t.Run("an answer that waits", func(t *testing.T) {
		client := s.legacySession("waits", s.token("alice", "waits"))
		last := client.lose("slow", `{"seconds":2}`)
		before := s.pods("waits")
		time.Sleep(2*time.Second + 3*window)
		if now := s.pods("waits"); len(before) != 1 || len(now) != 1 || now[0].Name != before[0].Name {
			t.Errorf("of %d pods there are %d", len(before), len(now))
		}
		if rest := ask(client.resume(last)); !rest.echoes("slept") || strings.Count(rest.body, `"id":"c"`) != 1 {
			t.Errorf("it comes back to %v", rest)
		}
		took := s.eventually("the pod is gone", time.Minute, func() bool { return len(s.pods("waits")) == 0 })
		t.Logf("gone %v after", took.Round(time.Second))
	})
	t.Run("a modern client of a legacy server", func(t *testing.T) {
		if got := s.echo("legacy", s.token("alice", "legacy"), "hello"); !got.echoes("hello") || !strings.Contains(got.body, `"resultType":"complete"`) {
			t.Error(got)
		}
	})
	t.Run("a legacy client of a modern server", func(t *testing.T) {
		client := s.legacySession("modern", s.token("alice", "modern"))
		got := ask(client.post(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}`))
		if !got.echoes("hello") || strings.Contains(got.body, "resultType") {
			t.Error(got)
		}
	})
}
