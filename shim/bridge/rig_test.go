package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"mcpgateway/internal/logtest"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/stdiotest"
)

// This test program is its own stdio server.
func TestMain(m *testing.M) {
	if manner := os.Getenv("FAKE_CHILD"); manner != "" {
		stdiotest.Serve(manner)
		return
	}
	os.Exit(m.Run())
}

// rig is a bridge with the fake child behind it, served over HTTP.
type rig struct {
	t      *testing.T
	bridge *Bridge
	url    string
	log    *logtest.Log
}

func newRig(t *testing.T, manner string, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, log: &logtest.Log{}}
	c := Config{Command: []string{os.Args[0]}, Env: []string{"FAKE_CHILD=" + manner, "PATH=" + os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0"}, Max: 8,
		Logger: slog.New(slog.NewJSONHandler(r.log, nil))}
	if change != nil {
		change(&c)
	}
	var err error
	if r.bridge, err = New(c); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.bridge)
	r.url = server.URL
	t.Cleanup(func() {
		r.bridge.Stop()
		server.CloseClientConnections()
		server.Close()
	})
	return r
}

// reply is an HTTP answer, read whole.
type reply struct {
	status  int
	session string
	kind    string
	body    string
}

// messages returns the JSON messages of the answer, of a stream or not.
func (r reply) messages() []string {
	if r.kind != "text/event-stream" {
		return []string{r.body}
	}
	var all []string
	events := mcp.NewEventReader(strings.NewReader(r.body), 64<<20)
	for {
		e, err := events.Next()
		if err != nil {
			return all
		}
		all = append(all, string(e.Data))
	}
}

// text is the tool's text in the last message.
func (r reply) text() string {
	all := r.messages()
	var m struct {
		Result struct {
			Content []struct{ Text string }
		}
	}
	if json.Unmarshal([]byte(all[len(all)-1]), &m) != nil || len(m.Result.Content) == 0 {
		return ""
	}
	return m.Result.Content[0].Text
}

// request makes a request; headers are given as "Name: value".
func (r *rig) request(ctx context.Context, method, body string, headers ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, r.url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return req
}

func (r *rig) do(req *http.Request) (reply, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header.Get(mcp.HeaderSession), resp.Header.Get("Content-Type"), string(body)}, err
}

func (r *rig) post(body string, headers ...string) reply {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := r.do(r.request(ctx, http.MethodPost, body, headers...))
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

const initialize = `{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// session begins a session, and returns its header.
func (r *rig) session(headers ...string) string {
	r.t.Helper()
	got := r.post(initialize, headers...)
	if got.status != http.StatusOK || got.session == "" {
		r.t.Fatalf("initialize: %+v\n%s", got, r.log)
	}
	return mcp.HeaderSession + ": " + got.session
}

// call makes a call of a tool: arguments are JSON, meta the inside of _meta.
func call(id, tool, arguments, meta string) string {
	if arguments == "" {
		arguments = "{}"
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{%s}}}`, id, tool, arguments, meta)
}

const modernMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`

const modernHeader = "Mcp-Protocol-Version: 2026-07-28"

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// pipes returns the children that sessions have of their own.
func (t *sessions) pipes() []*pipe {
	var pipes []*pipe
	for _, s := range t.list() {
		if s.own != nil {
			pipes = append(pipes, s.own)
		}
	}
	return pipes
}
