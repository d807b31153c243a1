package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/socket"
	"mcpgateway/internal/traffic"
)

// tally counts what is under way to each server. Only admitted calls get here, so it knows no more names than the
// catalogs that were in force.
type tally struct{ servers sync.Map } // id → *counts

type counts struct{ calls, total, listeners atomic.Int64 }

// enter counts a call until leave is called.
func (t *tally) enter(c *call) (leave func()) {
	counted, ok := t.servers.Load(c.server)
	if !ok {
		counted, _ = t.servers.LoadOrStore(c.server, &counts{})
	}
	n := counted.(*counts)
	if c.listener() {
		n.listeners.Add(1)
		return func() { n.listeners.Add(-1) }
	}
	n.total.Add(1)
	n.calls.Add(1)
	return func() { n.calls.Add(-1) }
}

// traffic is what is under way now, server by server.
func (g *gateway) traffic() traffic.Status {
	waiting := g.servers.waitingFor()
	now := g.current.Load()
	s := traffic.Status{Deployer: now.platform.Deployer.Socket, Servers: []traffic.Server{}}
	for _, entry := range now.catalog.Servers {
		one := traffic.Server{ID: entry.ID, PerUser: entry.Instances.PerUser, Waiting: waiting[entry.ID]}
		if counted, ok := g.tally.servers.Load(entry.ID); ok {
			n := counted.(*counts)
			one.Calls, one.Total, one.Listeners = n.calls.Load(), n.total.Load(), n.listeners.Load()
		}
		s.Servers = append(s.Servers, one)
	}
	return s
}

// waitingFor counts the calls that wait for a server to start, whoever's instance it is.
func (s *servers) waitingFor() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int64{}
	for key, calls := range s.waiting {
		n[key.Server] += int64(calls)
	}
	return n
}

// serveTraffic answers on a private socket until close is called.
func (g *gateway) serveTraffic(path string) (close func() error, err error) {
	l, err := socket.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(g.traffic()) // whoever asked has gone
	})
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn)}
	go server.Serve(l) //nolint:errcheck // it ends with close
	return server.Close, nil
}
