package era

import (
	"context"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

// codeNoResource is how a legacy server says that there is no such resource; it is -32602 since 2026-07-28.
const codeNoResource = -32002

// run hands the server's messages on, until it answered or the client must do something first.
func (c *modernCall) run(ctx context.Context, r *reply) {
	patience := time.NewTimer(c.t.wait)
	defer patience.Stop()
	var gather <-chan time.Time // set while there are questions: the server may ask more than one at once
	for {
		if len(c.asked) == 0 {
			gather = nil
		} else if gather == nil {
			gather = time.After(gathered)
		}
		select {
		case <-gather:
			c.inputRequired(r)
			return
		case m, more := <-c.leg.messages:
			if !more {
				if ctx.Err() != nil {
					c.cancel("the client left") // that is what ended the stream
				} else {
					c.over()
				}
				r.fail(c.message.ID, c.ended(ctx))
				return
			}
			if c.take(ctx, r, &m) {
				return
			}
		case m := <-c.strays:
			c.take(ctx, r, &m)
		case <-patience.C:
			r.begin()
		case <-ctx.Done():
			c.cancel("the client left")
			r.fail(c.message.ID, ctx.Err())
			return
		}
	}
}

// over ends what the request needed.
func (c *modernCall) over() {
	c.leg.cancel()
	c.kept.hub.leave(c)
	c.release()
}

// ended is the error of a stream that ended before the answer.
func (c *modernCall) ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: c.leg.err,
		Message: "The MCP server ended the connection without an answer; the call may have run"}
}

// cancel has the server give the request up (MCP 2025-11-25, cancellation).
func (c *modernCall) cancel(reason string) {
	defer c.over()
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	params := object{{"requestId", c.number}, {"reason", text(reason)}}
	_ = tell(ctx, c.kept.errand(c.x, c.session, notification("notifications/cancelled", params.token())), c.send)
}

// take takes one message of the server, and tells whether the answer is whole.
func (c *modernCall) take(ctx context.Context, r *reply, m *mcp.Labelled) (done bool) {
	switch m.Kind {
	case mcp.Response:
		if string(m.ID.Token) != string(c.number) {
			return false
		}
		c.over()
		code, message := c.answered(m)
		if c.streamed && code == 0 {
			r.begin()
		}
		r.finish(status(code), message)
		return true
	case mcp.Notification:
		if c.notified(r, m) != nil {
			c.cancel("the client left")
			return true
		}
	case mcp.Request:
		c.requested(ctx, m)
	}
	return false
}

// notified hands on a notification.
func (c *modernCall) notified(r *reply, m *mcp.Labelled) error {
	raw := m.Raw()
	switch m.Method {
	case "notifications/progress":
		token := c.meta.get("progressToken")
		if token == nil || string(m.Progress.Token) != string(c.number) {
			return nil
		}
		raw = m.Relabel(mcp.Change{Label: m.Progress, With: token})
	case "notifications/message":
		if !c.wants(path(raw, "params", "level")) {
			return nil
		}
	case "notifications/cancelled":
		c.withdraw(m.Request.Token)
		return nil
	case "notifications/elicitation/complete": // its id is unknown since 2026-07-28 (changelog)
		return nil
	}
	if published[m.Method] {
		c.kept.hub.publish(m)
		return nil // they belong to no request
	}
	return r.event(raw)
}

// levels are those of log messages, in the order of their gravity (RFC 5424).
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// gravity is a level's place, from 1; 0 where it is none.
func gravity(level mcp.Token) int {
	name, _ := level.Text()
	for i, l := range levels {
		if l == name {
			return i + 1
		}
	}
	return 0
}

// wants tells whether the request asked for log messages of a level.
func (c *modernCall) wants(level mcp.Token) bool {
	least := gravity(c.meta.get(metaLogLevel))
	return least > 0 && gravity(level) >= least
}

// answered is the server's answer in the client's form, and the code of the error that it is.
func (c *modernCall) answered(m *mcp.Labelled) (code int, message []byte) {
	o := objectOf(m.Raw())
	if failed := objectOf(o.get("error")); failed != nil {
		code := m.Failed
		switch code {
		case mcp.CodeElicitURL: // unknown since 2026-07-28
			if result := c.led(path(failed.get("data"), "elicitations")); result != nil {
				return 0, response(c.message.ID, "result", result.token())
			}
			code = mcp.CodeInternal
			failed = failed.without("data").with("code", number(mcp.CodeInternal))
		case codeNoResource:
			code = mcp.CodeInvalidParams
			failed = failed.with("code", number(mcp.CodeInvalidParams))
		case 0: // none that can be read
			code = mcp.CodeInternal
		}
		return code, response(c.message.ID, "error", failed.token())
	}
	r := objectOf(o.get("result"))
	if r == nil {
		return mcp.CodeInternal, failure(c.message.ID, mcp.CodeInternal, "The MCP server answered no object")
	}
	if c.message.Method == "tools/list" {
		c.t.tools.learn(r.get("tools"))
	}
	return 0, response(c.message.ID, "result", c.result(r).token())
}
