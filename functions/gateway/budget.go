package main

import (
	"context"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/mcp"
)

// reserve is what is left of a function's time when its answers end by themselves: enough to say so. At the deadline the
// process is killed, and the stream is cut off without a word.
const reserve = 2 * time.Second

// endOf is when an answer must be over: shortly before the deadline of a function that is billed by the request. Zero is
// never, as where the gateway is a server of its own.
func endOf(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(-min(reserve, max(0, time.Until(deadline)/5)))
}

// metered tells whether somebody pays for every moment that the call takes, whoever still listens: then nothing waits
// without end, and that a client left is not known.
func (c *call) metered() bool { return !c.end.IsZero() }

// spent tells whether an answer must end now.
func (c *call) spent() bool { return c.metered() && !time.Now().Before(c.end) }

// lifetime is how long the server may work on the call. In the modern era a client that leaves cancels its request, in
// the legacy era it expressly does not (MCP 2025-11-25, transports, "sending messages").
func (c *call) lifetime(most catalog.Duration) (context.Context, context.CancelFunc) {
	ctx := c.r.Context()
	if c.era == mcp.Legacy && !c.listener() {
		ctx = context.WithoutCancel(ctx)
	}
	return context.WithDeadline(ctx, c.bound(time.Now().Add(time.Duration(most))))
}

// bound is the earlier of a time and of when the answer must be over.
func (c *call) bound(t time.Time) time.Time {
	if c.metered() && c.end.Before(t) {
		return c.end
	}
	return t
}
