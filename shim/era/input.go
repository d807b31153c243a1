package era

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"mcpgateway/internal/mcp"
)

// asks are the methods by which a request may be answered with questions, and questions the methods that these may have, with
// the capability of a client that answers them (MCP 2026-07-28, patterns, multi round-trip requests).
var (
	asks      = map[string]bool{"tools/call": true, "prompts/get": true, "resources/read": true}
	questions = map[string]string{"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
)

// requested takes a request of the server to the client, which waits where it is a question.
func (c *modernCall) requested(ctx context.Context, m *mcp.Labelled) {
	capability := questions[m.Method]
	switch {
	case m.Method == "ping":
		c.reply(ctx, response(m.ID.Token, "result", mcp.Token("{}")))
		return
	case capability == "" || !asks[c.message.Method] || path(c.meta.get(metaCapabilities), capability) == nil:
		c.reply(ctx, failure(m.ID.Token, mcp.CodeMethodNotFound, "Method not found: the client cannot be asked for this"))
		return
	case len(c.asked) >= maxAsked:
		c.reply(ctx, failure(m.ID.Token, mcp.CodeInternal, "Too many questions at once"))
		return
	}
	c.keys++
	c.asked = append(c.asked, question{key: "input-" + strconv.Itoa(c.keys), id: m.ID.Token, method: m.Method, params: path(m.Raw(), "params")})
}

// reply sends the server an answer. What it does without it is its business.
func (c *modernCall) reply(ctx context.Context, message []byte) {
	if err := tell(ctx, c.kept.errand(c.x, c.session, message), c.send); err != nil {
		c.t.Logger.Warn("a server's question is not answered", "request", c.x.RequestID(), "error", err)
	}
}

// withdraw forgets a question that the server does not ask any more.
func (c *modernCall) withdraw(id mcp.Token) {
	for i := range c.asked {
		if string(c.asked[i].id) == string(id) {
			c.asked = append(c.asked[:i:i], c.asked[i+1:]...)
			return
		}
	}
}

// inputRequired ends this round: the client has to answer first.
func (c *modernCall) inputRequired(r *reply) {
	requests := object{}
	for _, q := range c.asked {
		o := object{{"method", text(q.method)}}
		if params := objectOf(q.params); params != nil {
			o = append(o, member{"params", params.without("elicitationId", "task").token()})
		}
		requests = append(requests, member{q.key, o.token()})
	}
	c.leg.unfollow()
	c.kept.hub.leave(c) // until it goes on: nothing else can be asked meanwhile
	h, ok := c.t.rounds.park(c.x.Caller(), c)
	if !ok {
		c.cancel("too many calls wait")
		r.fail(c.message.ID, &mcp.Error{Status: http.StatusServiceUnavailable, Code: mcp.CodeUnavailable, RetryAfter: time.Second,
			Message: "The MCP server asks for something, but too many calls wait for such answers; the call is given up, and may have run in part"})
		return
	}
	result := object{{"resultType", text("input_required")}, {"inputRequests", requests.token()}, {"requestState", text(c.t.seal(c.x, c.message, h))}}
	id := c.message.ID
	r.finish(http.StatusOK, response(id, "result", c.result(result).token()))
}

// answers goes on with a call that waits, since its client came again.
func (c *modernCall) answers(ctx context.Context) (*http.Response, error) {
	state, _ := c.params.get("requestState").Text()
	var waiting *modernCall
	if h, ok := c.t.open(c.x, c.message, state); ok {
		waiting = c.t.rounds.take(h, c.x.Caller())
	}
	if waiting == nil {
		return nil, &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidParams, ID: c.message.ID,
			Message: "requestState is not known: it was altered, used before, is another request's or older than " + fmt.Sprint(parkedFor) +
				", or the server was started anew. The call is not repeated by itself: begin it again without requestState and inputResponses"}
	}
	// What this request says of itself holds from now on: its id, its progress token, and the caller's newest credential.
	waiting.x, waiting.send, waiting.message, waiting.meta = c.x, c.send, c.message, c.meta
	given := objectOf(c.params.get("inputResponses"))
	open := waiting.asked[:0:0]
	for _, q := range waiting.asked {
		answer := given.get(q.key)
		if objectOf(answer) == nil {
			open = append(open, q)
			continue
		}
		waiting.reply(ctx, response(q.id, "result", answer))
	}
	waiting.asked = open
	waiting.leg.follow(ctx)
	waiting.attend(ctx)
	return replied(ctx, func(r *reply) { waiting.run(ctx, r) })
}

// led is the result that leads a person to the pages of an error (MCP 2025-11-25, elicitation, "URL Elicitation Required Error").
// The client's next try is another request, which the server answers anew. nil where the client leads nobody to pages.
func (c *modernCall) led(elicitations mcp.Token) object {
	if !asks[c.message.Method] || !mcp.ElicitsURL(c.meta.get(metaCapabilities)) || len(elicitations) == 0 || elicitations[0] != '[' {
		return nil
	}
	requests := object{}
	_ = elicitations.Items(func(e mcp.Token) error { // what is none is left out
		if page := objectOf(e).without("elicitationId"); page.get("url") != nil && len(requests) < maxAsked {
			o := object{{"method", text("elicitation/create")}, {"params", page.with("mode", text("url")).token()}}
			requests = append(requests, member{"input-" + strconv.Itoa(len(requests)+1), o.token()})
		}
		return nil
	})
	if len(requests) == 0 {
		return nil
	}
	return c.result(object{{"resultType", text("input_required")}, {"inputRequests", requests.token()}})
}
