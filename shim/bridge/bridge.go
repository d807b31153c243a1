// Package bridge makes any MCP server that speaks stdio one that speaks streamable HTTP, in the eras that the server
// itself speaks. It starts the server's program: once for each session of a legacy client, or once for all.
//
// It forwards messages as they are, but for the labels by which requests are told apart. It authenticates nobody: its
// socket is for the shim alone. It translates nothing between the eras, and keeps nothing for a client whose
// connection broke.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os/exec"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
	shimcall "mcpgateway/shim/call"
)

// HeaderCaller is the header by which the shim tells callers apart.
const HeaderCaller = shimcall.HeaderCaller

// Config is what a Bridge needs.
type Config struct {
	Command []string // the server's program and its arguments
	Env     []string // all of its environment
	Shared  bool     // one child for all legacy clients, which then get no requests from it
	Max     int      // children of sessions at once, where each has its own
	Orphans bool     // this process adopts orphans (procgroup.AdoptOrphans), and has no children but the Bridge's
	Logger  *slog.Logger
}

// Bridge is an http.Handler in front of a stdio server.
type Bridge struct {
	Config
	starts   starts
	modern   keeper // the child of all modern requests
	legacy   keeper // the child of all legacy sessions, where it is shared
	sessions sessions
	// What sessions that share a child subscribed to.
	subscribed *subscriptions
	clock      clock // how long an answer may take until its stream begins

	mu    sync.Mutex
	era   era
	spare *pipe // a legacy child that was started to find out its era
	// The revisions that the modern child supports.
	supported []string
	// What the shared legacy child answered to our initialize.
	initialized mcp.Token
	stopped     bool
	stopping    sync.WaitGroup     // children that end
	leave       context.CancelFunc // ends what New began
}

// era is what is known of the server's.
type era int

const (
	eraUnknown era = iota
	eraLegacy      // sessions only
	eraModern      // 2026-07-28 at least, and maybe sessions too
)

// streamAfter is how long a caller waits for an answer before the stream begins that the answer will come in: proxies and
// clients drop what is silent, and a stream can be kept alive.
const streamAfter = 5 * time.Second

// New makes a Bridge. It fails where the program cannot be found; nothing is started yet.
func New(c Config) (*Bridge, error) {
	if len(c.Command) == 0 || c.Max < 1 || c.Logger == nil {
		return nil, errors.New("bridge: a command, a maximum and a logger are required")
	}
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		return nil, fmt.Errorf("find the server's program: %w", err)
	}
	c.Command = append([]string{path}, c.Command[1:]...)
	c.Env = append([]string{}, c.Env...) // for nil os/exec would take ours
	b := &Bridge{Config: c}
	b.clock.waiting = streamAfter
	b.starts = starts{start: b.startChild, alive: map[*pipe]struct{}{}}
	b.modern = keeper{start: b.startModern}
	b.legacy = keeper{start: b.startLegacy}
	b.sessions = sessions{max: c.Max, all: map[string]*session{}, ended: b.sharedEnded}
	b.subscribed = newSubscriptions()
	b.starts.orphans = c.Orphans
	var ctx context.Context
	if ctx, b.leave = context.WithCancel(context.Background()); c.Orphans {
		go b.starts.adopt(ctx)
	}
	return b, nil
}

// ServeHTTP implements http.Handler.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := b.serve(w, r)
	if err == nil {
		return
	}
	e := mcp.AsError(err)
	if e.Status == mcp.StatusClientLeft {
		return // nobody is there to read an answer, and a part of it may be out
	}
	b.Logger.Warn("request refused", "status", e.Status, "error", err, "request", r.Header.Get("X-Request-Id"))
	patient(w)
	e.Write(w, "")
}

func (b *Bridge) serve(w http.ResponseWriter, r *http.Request) error {
	modern := mcp.EraOf(r.Header) == mcp.Modern
	switch {
	case r.Method == http.MethodPost && modern:
		return b.postModern(w, r)
	case r.Method == http.MethodPost:
		return b.postLegacy(w, r)
	case r.Method == http.MethodGet && !modern:
		return b.listen(w, r)
	case r.Method == http.MethodDelete && !modern:
		return b.delete(w, r)
	}
	return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Message: "Use POST",
		Header: http.Header{"Allow": {"POST"}}}
}

// Stop ends all children, and returns when they are gone.
func (b *Bridge) Stop() {
	for _, p := range b.starts.close() {
		b.end(p)
	}
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.stopping.Wait()
	if b.Orphans {
		b.starts.endOrphans()
	}
	b.leave()
}

// end stops a child. Stop waits for it; one that comes later than that is killed.
func (b *Bridge) end(p *pipe) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		p.process.kill()
		return
	}
	b.stopping.Go(p.process.stop)
}
