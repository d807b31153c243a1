package era

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// Bounds of what a modern server can ask before it answers.
const (
	maxRounds  = 32
	emptyRound = time.Second // before a retry that the server asked nothing for
)

// run sends the request, as often as the server asks the client for something first, and hands on what it says.
func (c *legacyCall) run(ctx context.Context, r *reply) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.visit.began(c.message.ID, cancel)()
	var input object // inputResponses and requestState
	for range maxRounds {
		o, err := c.round(ctx, r, input)
		if err != nil {
			r.fail(c.message.ID, c.given(ctx, err))
			return
		}
		if failed := o.get("error"); failed != nil {
			if c.unrepeated(ctx, failed) {
				continue
			}
			r.finish(http.StatusOK, response(c.message.ID, "error", failed))
			return
		}
		result := objectOf(o.get("result"))
		switch kind, _ := result.get("resultType").Text(); kind {
		case "", "complete":
			if c.streamed {
				r.begin()
			}
			r.finish(http.StatusOK, response(c.message.ID, "result", result.without("resultType", "ttlMs", "cacheScope").token()))
			return
		case "input_required":
			if input, err = c.input(ctx, r, result); err != nil {
				r.fail(c.message.ID, c.given(ctx, err))
				return
			}
		default:
			r.finish(http.StatusOK, failure(c.message.ID, mcp.CodeInternal, fmt.Sprintf("The MCP server answered a result of the type %.40q, which your revision of the protocol has not", kind)))
			return
		}
	}
	r.finish(http.StatusOK, failure(c.message.ID, mcp.CodeInternal, fmt.Sprintf("The MCP server asked for something more than %d times", maxRounds)))
}

// given is the error of a request that came to nothing. Its client may have given it up.
func (c *legacyCall) given(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &mcp.Error{Status: http.StatusOK, Code: mcp.CodeInternal, ID: c.message.ID, Message: "The request was cancelled, or took too long", Cause: err}
	}
	return err
}

// round sends the request once, and returns the server's response.
func (c *legacyCall) round(ctx context.Context, r *reply, input object) (object, error) {
	l := newLeg(ctx)
	defer l.cancel()
	resp, err := c.send(l.ctx, c.request(input))
	if err != nil {
		return nil, err
	}
	c.streamed = mcp.IsStream(resp.Header)
	go l.read(resp)
	patience := time.NewTimer(c.t.wait)
	defer patience.Stop()
	for {
		select {
		case m, more := <-l.messages:
			switch {
			case !more && resp.StatusCode >= 300:
				return nil, refused(resp)
			case !more:
				return nil, &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: l.err,
					Message: "The MCP server ended the connection without an answer; the call may have run"}
			case m.Kind == mcp.Response:
				return objectOf(m.Raw()), nil
			case m.Kind == mcp.Notification:
				if err := r.event(m.Raw()); err != nil {
					return nil, err
				}
			}
		case <-patience.C:
			r.begin()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// request is the client's in the revision of the server. Each time it is another one.
func (c *legacyCall) request(input object) *call.Exchange {
	own := objectOf(c.params.get("_meta")).without(metaVersion, metaClient, metaCapabilities, metaLogLevel)
	meta := append(c.visit.client.meta(), own...)
	if level := c.visit.logLevel(); level != nil {
		meta = append(meta, member{metaLogLevel, level})
	}
	params := append(c.params.without("_meta", "task", "inputResponses", "requestState"), input...)
	body := request(number(c.t.last.Add(1)), c.message.Method, append(params, member{"_meta", meta.token()}).token())
	name, _ := c.message.Target().Name.Text()
	y := modern(c.x, mcp.ModernVersion, c.message.Method, mcp.EncodeHeader(name), body)
	if c.message.Method == "tools/call" {
		c.t.tools.repeat(y.Request.Header, name, c.params.get("arguments"))
	}
	return y
}

// input asks the client for what the server wants to know, and returns what the request says of that when it is sent again.
func (c *legacyCall) input(ctx context.Context, r *reply, result object) (object, error) {
	var input object
	if state := result.get("requestState"); state != nil {
		input = append(input, member{"requestState", state})
	}
	requests := objectOf(result.get("inputRequests"))
	if len(requests) > maxAsked {
		return nil, unusable(errors.New("too many questions at once"))
	}
	if len(requests) == 0 {
		select {
		case <-time.After(emptyRound):
			return input, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	type open struct {
		key, method string
		answer      <-chan mcp.Token
	}
	var all []open
	for _, q := range requests {
		method, _ := path(q.value, "method").Text()
		params := path(q.value, "params")
		if !c.visit.client.answers(method, params) {
			return nil, unusable(fmt.Errorf("the server asks for %.40q, of which the client said nothing", method))
		}
		id := text(fmt.Sprint("era-", c.t.last.Add(1)))
		answer, over := c.visit.ask(id)
		defer over()
		all = append(all, open{q.name, method, answer})
		if mode, _ := path(params, "mode").Text(); mode == "url" {
			params = objectOf(params).or("elicitationId", text(rand.Text())).token() // needed until 2025-11-25
		}
		if err := r.event(request(id, method, params)); err != nil {
			return nil, err
		}
	}
	var responses object
	for _, q := range all {
		select {
		case answer := <-q.answer:
			given, err := inputResponse(q.method, answer)
			if err != nil {
				return nil, err
			}
			responses = append(responses, member{q.key, given})
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return append(input, member{"inputResponses", responses.token()}), nil
}

// answers tells whether a client can be asked something, by its capabilities.
func (c client) answers(method string, params mcp.Token) bool {
	capability := questions[method]
	if mode, _ := path(params, "mode").Text(); mode == "url" && !mcp.ElicitsURL(c.capabilities) {
		return false
	}
	return capability != "" && path(c.capabilities, capability) != nil
}

// inputResponse is a client's answer as the server gets it. Only results have a form there.
func inputResponse(method string, answer mcp.Token) (mcp.Token, error) {
	if result := path(answer, "result"); objectOf(result) != nil {
		return result, nil
	}
	if method == "elicitation/create" {
		return mcp.Token(`{"action":"cancel"}`), nil
	}
	message, _ := path(answer, "error", "message").Text()
	return nil, &mcp.Error{Status: http.StatusOK, Code: mcp.CodeInternal, Message: "The MCP server asked your client for " + method + ", and it could not answer: " + message}
}
