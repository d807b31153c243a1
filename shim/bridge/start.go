package bridge

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"mcpgateway/internal/mcp"
)

// Pauses after children that ended before they said anything: each costs a process, and the next will hardly be better.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// starts counts children that came to nothing, and pauses after the second in a row: one may be bad luck.
type starts struct {
	start func(use) (*pipe, error)

	mu       sync.Mutex
	alive    map[*pipe]struct{}
	failures int
	until    time.Time
	closed   bool
	orphans  bool // are ours to end
}

// next starts a child, unless too many came to nothing.
func (s *starts) next(u use) (*pipe, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait := time.Until(s.until); wait > 0 {
		return nil, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: wait,
			Message: "The MCP server's process keeps ending; it will be started again after a pause"}
	}
	if s.closed {
		return nil, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: time.Second,
			Message: "The MCP server is stopping; try again"}
	}
	p, err := s.start(u)
	if err != nil {
		s.failed()
		return nil, broken(fmt.Errorf("start: %w", err))
	}
	s.alive[p] = struct{}{}
	go s.watch(p)
	return p, nil
}

// watch counts how the child ends.
func (s *starts) watch(p *pipe) {
	<-p.ended
	if s.orphans {
		s.tidy()
	}
	p.mu.Lock()
	spoke, abandoned := p.spoke, p.abandoned
	p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alive, p)
	switch {
	case spoke:
		s.failures = 0
	case !abandoned:
		s.failed()
	}
}

// failed counts; the caller holds s.mu.
func (s *starts) failed() {
	if s.failures++; s.failures > 1 {
		s.until = time.Now().Add(min(maxPause, firstPause<<min(s.failures-2, 10)))
	}
}

// close has nothing started any more, and returns the children that live, whoever has them.
func (s *starts) close() []*pipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return slices.Collect(maps.Keys(s.alive))
}

// startChild starts the program, and lets it speak.
func (b *Bridge) startChild(u use) (*pipe, error) {
	process, err := startProcess(b.Command, b.Env, b.Logger)
	if err != nil {
		return nil, err
	}
	p := newPipe(process, u)
	go p.run()
	return p, nil
}

// broken is the error of a server that cannot be used, with a cause for the log only.
func broken(cause error) *mcp.Error {
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: cause,
		Message: "The MCP server's process cannot be used; whoever runs this gateway finds the cause in its log"}
}
