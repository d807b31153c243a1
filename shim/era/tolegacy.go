package era

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// Names in _meta: MCP 2026-07-28, basic/index, "_meta".
const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaClient       = "io.modelcontextprotocol/clientInfo"
	metaServer       = "io.modelcontextprotocol/serverInfo"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaLogLevel     = "io.modelcontextprotocol/logLevel"
)

// removed are methods that revision 2026-07-28 no longer has (its changelog), or that the session is no business of.
var removed = map[string]bool{"initialize": true, "ping": true, "logging/setLevel": true, "resources/subscribe": true,
	"resources/unsubscribe": true}

// known are the methods that both eras have. Servers have statuses of their own for those that they do not know.
var known = map[string]bool{"tools/list": true, "tools/call": true, "prompts/list": true, "prompts/get": true, "resources/list": true,
	"resources/templates/list": true, "resources/read": true, "completion/complete": true}

// toLegacy answers a modern exchange, whose server has sessions only.
func (t *Translator) toLegacy(ctx context.Context, x *call.Exchange, body mcp.Body, send Send) (*http.Response, error) {
	if x.Request.Method != http.MethodPost || len(body.Messages) != 1 {
		return nil, &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Message: "Use POST",
			Header: http.Header{"Allow": {"POST"}}}
	}
	m := &body.Messages[0]
	if m.Kind == mcp.Notification {
		return whole(http.StatusAccepted, nil), nil // the revision has none over HTTP
	}
	c := &modernCall{t: t, x: x, send: send, message: m, params: objectOf(path(m.Raw, "params")), strays: make(chan mcp.Labelled)}
	c.meta = objectOf(c.params.get("_meta"))
	if err := c.check(); err != nil {
		return nil, err
	}
	if version := x.Request.Header.Get(mcp.HeaderVersion); version != mcp.ModernVersion {
		return unsupported(m.ID, version), nil
	}
	if c.params.get("requestState") != nil && asks[m.Method] {
		return c.answers(ctx)
	}
	var err error
	if c.kept, c.release, err = t.kept.use(x.Caller(), c.client()); err != nil {
		return nil, err
	}
	resp, err := c.answer(ctx)
	if err != nil {
		c.release()
	}
	return resp, err
}

// modernCall is a request of a modern client on its way through a session.
type modernCall struct {
	t       *Translator
	x       *call.Exchange
	send    Send
	message *mcp.Message
	params  object
	meta    object
	kept    *kept
	session session
	release func() // of the session

	number   mcp.Token // the request's id at the server
	leg      *leg
	streamed bool              // the server chose to answer by a stream
	asked    []question        // of the server, that the client has not answered
	keys     int               // of questions, so far
	strays   chan mcp.Labelled // what the server asks outside of the request's own stream
}

// check refuses what a modern server must (MCP 2026-07-28, basic/index, "_meta", and versioning).
func (c *modernCall) check() error {
	id := c.message.ID
	switch {
	case c.message.Params.MetaVersion == nil || objectOf(c.meta.get(metaCapabilities)) == nil:
		return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidParams, ID: id,
			Message: "_meta must hold " + metaVersion + " and " + metaCapabilities}
	case removed[c.message.Method] || strings.HasPrefix(c.message.Method, "tasks/"):
		return unknownMethod(c.message)
	}
	return nil
}

func unknownMethod(m *mcp.Message) error {
	return &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeMethodNotFound, ID: m.ID, Message: "Method not found"}
}

// client is who the session is for. A client need not say its name.
func (c *modernCall) client() client {
	info := objectOf(c.meta.get(metaClient)).or("name", text("unknown")).or("version", text("0"))
	return client{info: info.token(), capabilities: c.meta.get(metaCapabilities)}
}

// answer begins the session where that is needed, and sends the request.
func (c *modernCall) answer(ctx context.Context) (_ *http.Response, err error) {
	if c.session, err = c.kept.current(ctx, c.x, c.send, nil); err != nil {
		return nil, err
	}
	if c.message.Method == "server/discover" {
		defer c.release()
		return whole(http.StatusOK, response(c.message.ID, "result", c.discovered().token())), nil
	}
	if c.message.Method == "subscriptions/listen" {
		return c.listen(ctx)
	}
	if err := c.repeats(ctx); err != nil {
		return nil, err
	}
	c.number = number(c.t.last.Add(1))
	if err := c.logs(ctx); err != nil {
		return nil, err
	}
	if err := c.ask(ctx); err != nil {
		return nil, err
	}
	return replied(ctx, func(r *reply) { c.run(ctx, r) })
}

// discovered is the answer to server/discover, of what the server said when the session began.
func (c *modernCall) discovered() object {
	r := c.session.result
	o := object{{"supportedVersions", mcp.Token(supported)},
		{"capabilities", objectOf(r.get("capabilities")).without("tasks").token()}}
	if v := r.get("instructions"); v != nil {
		o = append(o, member{"instructions", v})
	}
	return c.result(o)
}

// supported are the revisions in which a server is spoken to through a translation.
const supported = `["` + mcp.ModernVersion + `"]`

// unsupported answers a request in a revision that nothing is translated from (MCP 2026-07-28, versioning).
func unsupported(id mcp.Token, version string) *http.Response {
	data := object{{"supported", mcp.Token(supported)}, {"requested", text(version)}}
	e := object{{"code", number(mcp.CodeVersion)}, {"message", text("Unsupported protocol version")}, {"data", data.token()}}
	return whole(http.StatusBadRequest, response(id, "error", e.token()))
}

// logs has the server send log messages as far as the request wants them. In a session that is said once for all, so that it
// is the most that anybody wanted.
func (c *modernCall) logs(ctx context.Context) error {
	level := gravity(c.meta.get(metaLogLevel))
	if level == 0 || c.session.capability("logging") == nil || !c.kept.lower(level) {
		return nil
	}
	params := object{{"level", text(levels[level-1])}}
	return tell(ctx, c.kept.errand(c.x, c.session, request(number(c.t.last.Add(1)), "logging/setLevel", params.token())), c.send)
}

// ask sends the request to the server. A server that does not know the session ran nothing, so that it is sent again in
// another.
func (c *modernCall) ask(ctx context.Context) error {
	for again := false; ; again = true {
		c.attend(ctx)
		l := newLeg(ctx)
		resp, err := c.send(l.ctx, c.kept.errand(c.x, c.session, c.translated()))
		if err == nil && resp.StatusCode < 300 {
			c.streamed = mcp.IsStream(resp.Header)
			l.resume = resumed(c.kept.errand(c.x, c.session, nil), c.send)
			c.leg = l
			go l.read(resp)
			return nil
		}
		l.cancel()
		c.kept.hub.leave(c)
		if err != nil {
			return err
		}
		discard(resp)
		lost, err := c.lost(ctx, resp.StatusCode)
		if err != nil {
			return err
		}
		switch {
		case !lost && resp.StatusCode < http.StatusInternalServerError && !known[c.message.Method]:
			return unknownMethod(c.message)
		case !lost || again:
			return refused(resp)
		}
		if c.session, err = c.kept.current(ctx, c.x, c.send, &c.session); err != nil {
			return err
		}
	}
}

// attend has what the server may ask outside of the request's own stream come here.
func (c *modernCall) attend(ctx context.Context) {
	capabilities := objectOf(c.meta.get(metaCapabilities))
	for _, capability := range questions {
		if asks[c.message.Method] && capabilities.get(capability) != nil {
			c.kept.listen(ctx, c.x, c.session, c.send)
			c.kept.hub.serve(c)
			return
		}
	}
}

// refused is the error of an answer that is none to the request.
func refused(resp *http.Response) error {
	e := &mcp.Error{Status: http.StatusBadGateway, Code: mcp.CodeUnavailable, Cause: fmt.Errorf("the server answered %s", resp.Status),
		Message: "The MCP server refused the request; whoever runs this gateway finds the cause in its log"}
	switch resp.StatusCode {
	case http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Status = resp.StatusCode
		if resp.StatusCode != http.StatusForbidden {
			e.RetryAfter = time.Second
		}
	}
	return e
}

// lost tells whether the server does not know the session (MCP 2025-11-25, transports, session management). Some say 400,
// which may mean something else.
func (c *modernCall) lost(ctx context.Context, status int) (bool, error) {
	if c.session.id == "" || status != http.StatusNotFound && status != http.StatusBadRequest {
		return false, nil
	}
	if status == http.StatusNotFound {
		return true, nil
	}
	resp, err := c.send(ctx, c.kept.errand(c.x, c.session, request(number(c.t.last.Add(1)), "ping", nil)))
	if err != nil {
		return false, err
	}
	discard(resp)
	return resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusBadRequest, nil
}

// translated is the request in the session's form.
func (c *modernCall) translated() []byte {
	meta := append(object{}, c.meta.without(metaVersion, metaClient, metaCapabilities, metaLogLevel)...)
	if meta.get("progressToken") != nil {
		meta = meta.with("progressToken", c.number)
	}
	params := c.params.without("_meta", "task", "inputResponses", "requestState")
	if len(meta) > 0 {
		params = append(params, member{"_meta", meta.token()})
	}
	return request(c.number, c.message.Method, params.token())
}

// cacheable are the methods whose results say how long they may be kept (MCP 2026-07-28, caching).
var cacheable = map[string]bool{"server/discover": true, "tools/list": true, "prompts/list": true, "resources/list": true,
	"resources/templates/list": true, "resources/read": true}

// result is a server's result as a modern server gives it.
func (c *modernCall) result(r object) object {
	r = r.or("resultType", text("complete"))
	if cacheable[c.message.Method] {
		r = r.or("ttlMs", mcp.Token("0")).or("cacheScope", text("private"))
	}
	if info := c.session.result.get("serverInfo"); info != nil {
		r = r.with("_meta", objectOf(r.get("_meta")).or(metaServer, info).token())
	}
	return r
}

// status is the HTTP status of an answer (MCP 2026-07-28, transports, "responses").
func status(code int) int {
	switch code {
	case mcp.CodeMethodNotFound:
		return http.StatusNotFound
	case mcp.CodeHeaderMismatch, mcp.CodeCapability, mcp.CodeVersion:
		return http.StatusBadRequest
	}
	return http.StatusOK
}
