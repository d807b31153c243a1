package era

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// rig is a Translator in front of a server that the test writes.
type rig struct {
	*Translator
	server *httptest.Server
}

func newRig(t testing.TB, server http.Handler) *rig {
	t.Helper()
	translator, err := New(Config{Server: "github", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Translator: translator, server: httptest.NewServer(server)}
	t.Cleanup(func() {
		r.rounds.mu.Lock()
		for _, w := range r.rounds.all {
			w.call.leg.cancel()
		}
		r.rounds.mu.Unlock()
		r.kept.mu.Lock()
		for _, k := range r.kept.all {
			k.hub.reset()
		}
		r.kept.mu.Unlock()
		r.server.Close()
	})
	return r
}

// send is what the shim's last stage does.
func (r *rig) send(ctx context.Context, x *call.Exchange) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, x.Request.Method, r.server.URL, bytes.NewReader(x.Body))
	if err != nil {
		return nil, err
	}
	mcp.ForwardRequestHeaders(req.Header, x.Request.Header)
	delete(req.Header, mcp.HeaderSession)
	if x.Session != "" {
		req.Header.Set(mcp.HeaderSession, x.Session)
	}
	return http.DefaultTransport.RoundTrip(req)
}

// exchange is what a caller sends, as the shim read it.
func exchange(t testing.TB, who, body string, header ...string) *call.Exchange {
	t.Helper()
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	x := &call.Exchange{Request: &http.Request{Method: http.MethodPost, Header: h}, Who: identity.Identity{Issuer: "i", Subject: who},
		Era: mcp.EraOf(h), Body: []byte(body), Session: h.Get(mcp.HeaderSession)}
	if body == "" {
		return x
	}
	var err error
	if x.MCP, err = mcp.Parse(x.Body); err != nil {
		t.Fatal(err)
	}
	return x
}

// modernBody is a request of revision 2026-07-28; meta is what stands in its _meta besides.
func modernBody(id, method, params, meta string) string {
	if meta != "" {
		meta = "," + meta
	}
	if params != "" {
		params = "," + params
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
		`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"sampling":{}}%s}%s}}`, id, method, meta, params)
}

func modernExchange(t testing.TB, who, body string) *call.Exchange {
	t.Helper()
	x := exchange(t, who, body, mcp.HeaderVersion, mcp.ModernVersion)
	x.Request.Header.Set(mcp.HeaderMethod, x.MCP.Messages[0].Method)
	return x
}

// answer is one whole answer: its status, and its messages.
type answer struct {
	status   int
	stream   bool
	header   http.Header
	messages []string
	err      error
}

func (a answer) last() string {
	if len(a.messages) == 0 {
		return fmt.Sprintf("status %d, %v", a.status, a.err)
	}
	return a.messages[len(a.messages)-1]
}

func (r *rig) do(t testing.TB, x *call.Exchange) (a answer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp, err := r.Exchange(ctx, x, r.send)
	if err != nil {
		e := mcp.AsError(err)
		return answer{status: e.Status, err: err, messages: []string{string(e.Body(""))}}
	}
	defer resp.Body.Close()
	a.status, a.stream, a.header = resp.StatusCode, mcp.IsStream(resp.Header), resp.Header
	if !a.stream {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		if len(body) > 0 {
			a.messages = []string{string(body)}
		}
		return a
	}
	for events := mcp.NewEventReader(resp.Body, 1<<20); ; {
		e, err := events.Next()
		if err != nil {
			return a
		}
		if len(e.Data) > 0 {
			a.messages = append(a.messages, string(e.Data))
		}
	}
}

// legacyServer knows sessions only. What a test does not say it does as the SDKs do.
type legacyServer struct {
	tools        func(w http.ResponseWriter, r *http.Request, m *mcp.Labelled, s *legacyServer)
	stream       http.HandlerFunc // of what belongs to no request; nil: there is none
	capabilities string

	hearing
	sessions map[string]string // capabilities of the clients, by session
	begun    int
	replies  chan string
}

func newLegacyServer(tools func(http.ResponseWriter, *http.Request, *mcp.Labelled, *legacyServer)) *legacyServer {
	return &legacyServer{tools: tools, capabilities: `{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"tasks":{}}`,
		sessions: map[string]string{}, replies: make(chan string, 10)}
}

func (s *legacyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m, _ := mcp.ParseLabelled(body)
	s.mu.Lock()
	_, known := s.sessions[r.Header.Get(mcp.HeaderSession)]
	s.heard = append(s.heard, strings.TrimSpace(r.Method+" "+m.Method))
	s.mu.Unlock()
	switch {
	case mcp.EraOf(r.Header) == mcp.Modern:
		(&mcp.Error{Status: 400, Code: -32000, Message: "Bad Request: Unsupported protocol version"}).Write(w, "")
	case m.Method == "initialize":
		s.initialize(w, &m)
	case !known:
		http.Error(w, "no such session", http.StatusNotFound)
	case r.Method == http.MethodDelete:
		s.forget()
	case r.Method == http.MethodGet && r.Header.Get("Last-Event-Id") == "":
		if s.stream == nil {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		s.stream(w, r)
	case m.Kind == mcp.Response && r.Method == http.MethodPost:
		s.replies <- string(body)
		w.WriteHeader(http.StatusAccepted)
	case m.Kind == mcp.Notification && r.Method == http.MethodPost:
		w.WriteHeader(http.StatusAccepted)
	default:
		s.tools(w, r, &m, s)
	}
}

func (s *legacyServer) initialize(w http.ResponseWriter, m *mcp.Labelled) {
	s.mu.Lock()
	s.begun++
	id := fmt.Sprint("session-", s.begun)
	s.sessions[id] = string(path(m.Raw(), "params", "capabilities"))
	s.mu.Unlock()
	w.Header().Set(mcp.HeaderSession, id)
	result(w, m, `{"protocolVersion":"2025-11-25","capabilities":`+s.capabilities+`,"serverInfo":{"name":"old","version":"1"},"instructions":"be kind"}`)
}

// reply waits for the client's next answer.
func (s *legacyServer) reply(r *http.Request) string {
	select {
	case reply := <-s.replies:
		return reply
	case <-r.Context().Done():
		return "null"
	}
}

// forget loses all sessions.
func (s *legacyServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// hearing is what a server was asked.
type hearing struct {
	mu    sync.Mutex // guards all of the server, too
	heard []string   // methods, in order
}

func (s *hearing) count(method string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.heard {
		if h == method {
			n++
		}
	}
	return n
}

func (s *legacyServer) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

func result(w http.ResponseWriter, m *mcp.Labelled, result string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID.Token, result)
}

// streamed begins a stream, and returns what sends a message in it.
func streamed(w http.ResponseWriter) func(format string, args ...any) {
	w.Header().Set("Content-Type", "text/event-stream")
	return func(format string, args ...any) {
		fmt.Fprintf(w, "event: message\ndata: "+format+"\n\n", args...)
		_ = http.NewResponseController(w).Flush()
	}
}

// member is a member of the JSON of an answer, found by names.
func at(t testing.TB, message string, names ...string) string {
	t.Helper()
	if !json.Valid([]byte(message)) {
		t.Fatalf("no JSON: %s", message)
	}
	return string(path(mcp.Token(message), names...))
}

// eventually waits until what is asked for holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}
