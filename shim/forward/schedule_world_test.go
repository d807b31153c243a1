package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/peer"
	"mcpgateway/shim/authorize"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/session"
	"mcpgateway/shim/task"
	"mcpgateway/shim/trail"
)

// world is one shim with its server, which sleep and wake, crash and change their keys as a schedule says. All of it is in one
// bubble of time, with connections in memory.
type world struct {
	t     *testing.T
	rules *ruleset.Set

	mu       sync.Mutex
	keys     [][]byte // the newest first
	shim     *Forwarder
	sealer   *session.Sealer
	server   *http.Server
	end      func() // of this life
	lives    int
	busy     int            // calls that the server works on
	ran      map[string]int // how often each call ran, by its text
	disaster []time.Time    // when a life ended in which something may have been lost
	sessions map[string]bool
	begun    int
	stopped  map[string]chan struct{} // by the id of a call: closed once it was cancelled
	streams  int                      // listening ones, of all lives
	said     map[string]int           // how many messages went out on each
	over     chan struct{}            // closed when the server forgets those who listen
}

func newWorld(t *testing.T, rules *ruleset.Set) *world {
	w := &world{t: t, rules: rules, keys: [][]byte{bytes.Repeat([]byte{1}, session.KeySize)}, ran: map[string]int{}, stopped: map[string]chan struct{}{},
		said: map[string]int{}, over: make(chan struct{})}
	w.wake()
	return w
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	accepted chan net.Conn
	done     context.Context
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.done.Done():
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accepted <- theirs:
		return ours, nil
	case <-p.done.Done():
		return nil, &net.OpError{Op: "dial", Err: errors.New("nobody is there")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wake begins a life: server and shim know nothing but the keys.
func (w *world) wake() {
	ctx, cancel := context.WithCancel(context.Background())
	listener := &pipes{accepted: make(chan net.Conn), done: ctx}
	w.sessions = map[string]bool{}
	w.lives++
	life := w.lives
	w.server = &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.serve(life, out, r) }), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	served := make(chan struct{})
	server := w.server
	go func() { defer close(served); _ = server.Serve(listener) }()
	var err error
	if w.sealer, err = session.NewSealer("s", w.keys...); err != nil {
		w.t.Fatal(err)
	}
	tasks, err := task.NewOwners(task.Config{Max: 100, PerUser: 10, Keep: time.Hour, Now: time.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	shim, err := New(Config{Upstream: &url.URL{Scheme: "http", Host: "server.test", Path: "/mcp"}, Sealer: w.sealer, Living: session.NewLiving(),
		Authorize:   authorize.Checker{Tasks: tasks, Logger: slog.New(slog.DiscardHandler)},
		Outgoing:    func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} },
		CallTimeout: time.Hour, Silence: time.Hour, Draining: ctx})
	if err != nil {
		w.t.Fatal(err)
	}
	shim.transport = &peer.Client{Dial: listener.dial}
	w.shim = shim
	w.end = func() {
		cancel()
		_ = server.Close()
		shim.transport.CloseIdleConnections()
		<-served
	}
}

// next ends this life, and begins another. Where nothing was under way nobody may lose anything but what was kept for them.
func (w *world) next() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disaster = append(w.disaster, time.Now())
	w.end()
	w.wake()
}

// sleep is a next that happens only where nobody works.
func (w *world) sleep() {
	w.mu.Lock()
	idle := w.busy == 0
	w.mu.Unlock()
	if idle {
		w.next()
	}
}

// forget is what a server's own restart leaves of its sessions: nothing. Its shim lives on.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.sessions)
	close(w.over)
	w.over = make(chan struct{})
}

// rotate has another key seal from the next life on; the sessions are younger than the oldest.
func (w *world) rotate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.keys) < session.MaxKeys {
		w.keys = append([][]byte{bytes.Repeat([]byte{byte(len(w.keys) + 1)}, session.KeySize)}, w.keys...)
	}
}

// serve is a legacy server with sessions. A call's text says how it is answered: after so many events, each after a pause, as a
// stream or as a document.
func (w *world) serve(life int, out http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Method string
		Params struct {
			RequestID json.RawMessage
			Arguments struct {
				Text   string
				Events int
				Pause  time.Duration
				JSON   bool
			}
		}
	}
	if r.Method == http.MethodGet {
		w.serveListener(life, out, r)
		return
	}
	if json.NewDecoder(r.Body).Decode(&m) != nil {
		http.Error(out, "what?", http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	current, known := life == w.lives, w.sessions[r.Header.Get(mcp.HeaderSession)]
	if m.Method == "initialize" {
		w.begun++
		id := fmt.Sprintf("%d-%d", life, w.begun)
		w.sessions[id] = true
		out.Header().Set(mcp.HeaderSession, id)
		known = true
	}
	stop := make(chan struct{})
	switch {
	case !known || !current:
	case m.Method == "notifications/cancelled":
		if started := w.stopped[string(m.Params.RequestID)]; started != nil {
			close(started)
			delete(w.stopped, string(m.Params.RequestID))
		}
	case m.Method == "tools/call":
		w.stopped[string(m.ID)] = stop
		w.busy++
		w.ran[m.Params.Arguments.Text]++
		defer func() { w.mu.Lock(); w.busy--; w.mu.Unlock() }()
	}
	w.mu.Unlock()
	switch {
	case !known || !current:
		http.Error(out, "session not found", http.StatusNotFound)
	case m.ID == nil:
		out.WriteHeader(http.StatusAccepted)
	case m.Method == "initialize":
		out.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}`, m.ID)
	case m.Method == "ping":
		out.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
	default:
		a := m.Params.Arguments
		reply := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"text":%q}}`, m.ID, a.Text)
		if a.JSON {
			time.Sleep(a.Pause)
			out.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(out, reply)
			return
		}
		out.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(out).Flush
		for n := range a.Events {
			select {
			case <-stop:
				return // without an answer
			default:
			}
			_, _ = fmt.Fprintf(out, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"%d\"}}\n\n", n)
			_ = flush()
			time.Sleep(a.Pause)
		}
		_, _ = fmt.Fprintf(out, "data: %s\n\n", reply)
	}
}

// line is a client's connection: after so many writes it is lost, unless that is negative.
type line struct {
	mu     sync.Mutex
	header http.Header
	status int
	got    bytes.Buffer
	left   int
	lost   func() // called when it is; may be nil
}

func (l *line) Header() http.Header { return l.header }
func (l *line) WriteHeader(s int)   { l.mu.Lock(); l.status = s; l.mu.Unlock() }
func (l *line) Flush()              {}
func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 {
		if l.lost != nil {
			l.lost()
		}
		return 0, errors.New("lost")
	}
	l.left--
	l.got.Write(p)
	return len(p), nil
}

// send has the shim of now answer a request on a line. It is cut where the connection ends without a proper end.
func (w *world) send(l *line, ctx context.Context, method, sealed, lastID, body string) (cut bool) { //nolint:revive // the line is what matters
	w.mu.Lock()
	shim, sealer := w.shim, w.sealer
	w.mu.Unlock()
	r := httptest.NewRequestWithContext(ctx, method, "/mcp-connect/s", strings.NewReader(body))
	r.Header.Set(mcp.HeaderVersion, "2025-11-25")
	if lastID != "" {
		r.Header.Set("Last-Event-Id", lastID)
	}
	x := call.Begin(l, r, w.rules, trail.Lines(io.Discard))
	x.Who = who
	var err error
	if sealed != "" {
		r.Header.Set(mcp.HeaderSession, sealed)
		if x.Sealed, err = sealer.Open(sealed, who.Issuer, who.Subject); err != nil {
			w.t.Errorf("the session is not known: %v", err)
			return true
		}
		x.Session = x.Sealed.ID
	}
	if x.Body = []byte(body); body != "" {
		if x.MCP, err = mcp.Parse(x.Body); err != nil {
			w.t.Fatal(err)
		}
	}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			cut = true
		}
	}()
	if err := shim.Forward(x); err != nil {
		mcp.AsError(err).Write(l, "")
	}
	return false
}
