// Package drain has a server end without losing a call: of whoever is connected by then, nobody is turned away.
package drain

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Connections knows what the connections of an http.Server do. http.Server.Shutdown drops what it reads once it has begun
// (Go 1.26, net/http, conn.serve), though whoever sent it connected before: it must not begin until those are served. The
// zero value is ready.
type Connections struct {
	mu sync.Mutex
	of map[net.Conn]Connection
}

// Connection is what a connection does.
type Connection struct {
	State http.ConnState
	Made  time.Time // where it is new; zero else
}

// Note is for http.Server.ConnState.
func (c *Connections) Note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.of, conn)
		return
	}
	if c.of == nil {
		c.of = map[net.Conn]Connection{}
	}
	does := Connection{State: state}
	if state == http.StateNew {
		does.Made = time.Now()
	}
	c.of[conn] = does
}

// Await waits until no connection is one to wait for, or ctx ends.
func (c *Connections) Await(ctx context.Context, waitFor func(Connection) bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.any(waitFor) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Connections) any(which func(Connection) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, does := range c.of {
		if which(does) {
			return true
		}
	}
	return false
}
