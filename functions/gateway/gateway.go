package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/detach"
	"mcpgateway/internal/mcp"
)

// gateway is the handler with what it needs.
type gateway struct {
	current   atomic.Pointer[snapshot] // a request takes it once
	servers   *servers
	shelf     *shelf
	limits    *limits
	keys      *keys
	listeners *listeners
	tally     tally
	holding   atomic.Int64 // how many requests keep instances up for clients that left
	measures  *measures
	audit     *audit.Log
	log       *slog.Logger

	keepAlive time.Duration // between comments on a silent stream, at most
	longWake  time.Duration // after which the client of a call hears that its server starts
	poll      time.Duration // how often a sleeping server that has listeners is looked at, whether it woke

	leaving  context.Context // ends when the process is told to stop: listeners end with it
	leave    context.CancelFunc
	detached *detach.Holder // of listeners, of which net/http knows no more
}

// The clocks of streams. Proxies and clients drop streams that are silent for 30 s.
const (
	keepAlive = 25 * time.Second
	poll      = 2 * time.Second
)

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := newCall(w, r, g.current.Load())
	if c.listener() {
		g.detached.Serve(func(h *detach.Handoff) {
			c.handoff = h
			g.serve(c)
		})
		return
	}
	defer g.measures.call(c)()
	g.serve(c)
}

// serve answers a call, whatever happens.
func (g *gateway) serve(c *call) {
	defer g.recover(c)
	c.baseHeaders()
	if err := g.route(c); err != nil {
		g.refuse(c, err)
	}
}

// refuse answers in the server's place, and records who was refused what.
func (g *gateway) refuse(c *call, err error) {
	e := mcp.AsError(err)
	g.note(c, e, err)
	if c.begun {
		panic(http.ErrAbortHandler)
	}
	c.setTiming()
	if c.registry {
		e.WriteBody(c.w, registryError(e))
		return
	}
	e.Write(c.w, c.id)
}

// note logs and records what no shim sees.
func (g *gateway) note(c *call, e *mcp.Error, err error) {
	if audit.OutcomeOf(e.Status) == audit.Failed {
		g.log.Warn("call failed", "request", c.id, "server", c.server, "subject", c.who.Subject, "error", err)
	}
	if c.server != "" {
		g.record(c, e)
	}
}

func (g *gateway) record(c *call, e *mcp.Error) {
	r := c.record()
	r.CallType, r.Outcome, r.Error, r.ResponseStatus = c.r.Method, audit.OutcomeOf(e.Status), e.Error(), e.Status
	g.write(c, r)
}

// record is what all records of a call hold.
func (c *call) record() audit.Record {
	return audit.Record{
		ID: audit.NewID(), CreatedAt: c.timing.began, Server: c.server, Issuer: c.who.Issuer, Subject: c.who.Subject,
		Client: c.who.Client, ClientIP: c.r.RemoteAddr, Era: c.era.String(), RequestBytes: len(c.body), RequestID: c.id,
		ProcessingTimeMs: float64(time.Since(c.timing.began).Microseconds()) / 1000,
	}
}

func (g *gateway) write(c *call, r audit.Record) {
	if err := g.audit.Write([]audit.Record{r}); err != nil {
		g.log.Error("audit record lost", "request", c.id, "error", err)
	}
}

// recover turns a bug into a 500 where nothing was sent yet. http.ErrAbortHandler is no bug: it cuts an answer off.
func (g *gateway) recover(c *call) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		g.log.Error("panic", "request", c.id, "panic", p, "stack", string(debug.Stack()))
	}
	if p == http.ErrAbortHandler || c.begun {
		panic(http.ErrAbortHandler)
	}
	g.refuse(c, errors.New("panic"))
}

// ready says whether calls can be served: the keys of one issuer are known, or can be had.
func (g *gateway) ready(c *call) error {
	for _, i := range c.verifier.Snapshot(c.r.Context()) {
		if i.Keys != nil {
			return c.text("ready")
		}
	}
	return unavailable("No identity provider can be reached", nil)
}
