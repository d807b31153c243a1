package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/rules"
	"mcpgateway/shim/ruleset"
)

// filterServer is a filter of the legacy era, written by hand so that it can answer anything.
type filterServer struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, id, arguments string)

	mu        sync.Mutex
	asked     []string // messages
	sessions  int
	forgotten bool // it knows no session that was made before
}

func newFilterServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, id, arguments string)) *filterServer {
	t.Helper()
	f := &filterServer{answer: answer}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func (f *filterServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Name      string
			Arguments json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		w.WriteHeader(400)
		return
	}
	f.mu.Lock()
	session := fmt.Sprint(f.sessions)
	lost := f.forgotten && m.Method == "tools/call" && r.Header.Get("Mcp-Session-Id") != session
	var q struct{ Message json.RawMessage }
	_ = json.Unmarshal(m.Params.Arguments, &q)
	switch {
	case m.Method == "initialize":
		f.sessions++
		w.Header().Set("Mcp-Session-Id", fmt.Sprint(f.sessions))
	case m.Method == "tools/call" && !lost:
		f.asked = append(f.asked, string(q.Message))
	}
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case m.Method == "initialize":
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"f","version":"1"}}}`, m.ID)
	case m.ID == nil:
		w.WriteHeader(202)
	case lost:
		w.WriteHeader(404)
	case m.Method != "tools/call" || m.Params.Name != "check":
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no %s"}}`, m.ID, m.Method)
	default:
		f.answer(w, r, string(m.ID), string(q.Message))
	}
}

func (f *filterServer) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// result answers with what a tool's result holds.
func result(w http.ResponseWriter, id, members string) {
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{%s}}`, id, members)
}

// verdictOf answers a verdict that depends on the message.
func verdictOf(decide func(message string) string) func(http.ResponseWriter, *http.Request, string, string) {
	return func(w http.ResponseWriter, _ *http.Request, id, message string) {
		result(w, id, `"content":[],"structuredContent":`+decide(message))
	}
}

const accepts = `{"accept":true,"mutated":false,"reason":""}`

// mutates replaces words of a message; a message without them is accepted.
func mutates(pairs ...string) func(string) string {
	return func(message string) string {
		changed := strings.NewReplacer(pairs...).Replace(message)
		if changed == message {
			return accepts
		}
		return `{"accept":true,"mutated":true,"message":` + changed + `,"reason":"changed"}`
	}
}

// rule makes the rules' filter of a server.
func (f *filterServer) rule(t *testing.T, name string, on ...string) rules.Filter {
	t.Helper()
	_, port, err := net.SplitHostPort(f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return rules.Filter{Name: name, Server: &rules.FilterServer{URL: f.URL + "/mcp", Tool: "check", Egress: "127.0.0.1/32 " + port},
		On: on, Mutate: true, Timeout: 20 * time.Second, OnError: rules.OnErrorReject}
}

// filter puts filters in force.
func (r *rig) filter(t testing.TB, filters ...rules.Filter) {
	t.Helper()
	r.rules.Filters = filters
	r.rules.Version++
	r.writeRules(t)
	var err error
	r.chain.rules, err = ruleset.NewHolder(ruleset.Config{Server: "github", Path: r.rulesFile, Key: r.key.Public().(ed25519.PublicKey), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
}
