package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/mcp"
)

// How answers that nobody reads are waited for.
const (
	maxHolds  = 1000        // at once
	holdRetry = time.Second // where the wait was cut off on its way
)

// holdOnLeave has the caller's instance stay up once its client leaves in the middle of a call that it can take up again,
// until stop is called. Nothing else would: a request that waits for nobody's answer ends with the answer, and who counts
// requests takes the instance down, with what is kept for the client. Whether a client leaves a function is not known.
func (g *gateway) holdOnLeave(c *call, out *eventWriter) (stop func() bool) {
	if c.era != mcp.Legacy || c.metered() {
		return func() bool { return false }
	}
	return context.AfterFunc(c.r.Context(), func() {
		if last := out.lastID(); strings.HasPrefix(last, mcp.EventPrefix) {
			g.hold(c.holder(last))
		}
	})
}

// holder is the request that waits in a call's name: it is one under way for the instance, and ends when its client had the rest
// of the answer, or when that is kept no longer.
func (c *call) holder(last string) *call {
	h := http.Header{"Last-Event-Id": {last}}
	for _, name := range []string{"Authorization", "User-Agent", mcp.HeaderSession, mcp.HeaderVersion, "Traceparent", "Tracestate"} {
		if v := c.r.Header[name]; v != nil {
			h[name] = v
		}
	}
	return &call{snapshot: c.snapshot, r: &http.Request{Method: http.MethodGet, Header: h, RemoteAddr: c.r.RemoteAddr}, id: c.id,
		server: c.server, era: c.era, timing: timing{began: time.Now()}, who: c.who, token: c.token, entry: c.entry, holds: true}
}

// hold waits, while the instance is there: it is not woken for that.
func (g *gateway) hold(c *call) {
	defer g.holding.Add(-1)
	if g.holding.Add(1) > maxHolds {
		return
	}
	for {
		awake, err := g.servers.locate(g.leaving, c.key(), c.entry)
		if err != nil || awake == nil {
			return
		}
		resp, err := g.servers.send(g.leaving, c, awake)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err == nil || pause(g.leaving, holdRetry) != nil {
			return
		}
	}
}
