package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"mcpgateway/internal/detach"
	"mcpgateway/internal/drain"
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

	leaving     atomic.Bool
	connections drain.Connections
}

// livePath is where a caller asks whether the shim is there at all, which a relay before it hides.
const livePath = "/livez"

// serve says with each answer that the connection ends, once the shim leaves: then no caller uses it again. Who only asks
// whether the shim is there is not told: the call for which they ask is still taken.
func (d *door) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.leaving.Load() && r.URL.Path != livePath {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}

func idles(c drain.Connection) bool { return c.State == http.StateNew || c.State == http.StateIdle }

// leave stops without losing a call: first nobody new finds the shim, then listeners are told and callers close what
// idles, then what is under way ends.
func (d *door) leave(l *addressListener, server *http.Server, draining context.CancelFunc, patience time.Duration) error {
	l.withdraw()
	d.leaving.Store(true)
	draining()
	idling, stop := context.WithTimeout(context.Background(), lingerIdle)
	defer stop()
	time.Sleep(linger)
	d.connections.Await(idling, idles)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	_ = d.detached.Wait(ctx) // what goes on is cut off
	return server.Close()
}
