package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/detach"
)

// How long the shim waits before it closes connections: for those that were made before the address was taken back and
// are not accepted yet, and for those that idle. A caller who has one may be sending the next call at this moment, and
// could not know whether a connection that is closed then was still read.
const (
	linger     = 100 * time.Millisecond
	lingerIdle = 2 * time.Second
)

// door knows the connections of callers that idle, and has callers close them when the shim leaves.
type door struct {
	detached *detach.Holder // waited for as well as what the server knows of

	leaving atomic.Bool
	mu      sync.Mutex
	idle    map[net.Conn]bool
}

// note is told of each change of a connection (http.Server.ConnState).
func (d *door) note(c net.Conn, s http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s == http.StateNew || s == http.StateIdle {
		d.idle[c] = true
	} else {
		delete(d.idle, c)
	}
}

// serve says with each answer that the connection ends, once the shim leaves: then no caller uses it again.
func (d *door) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.leaving.Load() {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}

func (d *door) idling() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.idle)
}

// leave stops without losing a call: first nobody new finds the shim, then listeners are told and callers close what
// idles, then what is under way ends.
func (d *door) leave(l *addressListener, server *http.Server, drain context.CancelFunc, patience time.Duration) error {
	l.withdraw()
	d.leaving.Store(true)
	drain()
	began := time.Now()
	for time.Sleep(linger); d.idling() > 0 && time.Since(began) < lingerIdle; {
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	_ = d.detached.Wait(ctx) // what goes on is cut off
	return server.Close()
}
