package era

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// legacyCall is an exchange of a legacy client whose server is modern only.
type legacyCall struct {
	t       *Translator
	x       *call.Exchange
	send    Send
	visit   *visit
	message *mcp.Message // a request
	params  object

	listed   bool // the server's tools, since it wanted arguments in headers
	streamed bool // the server chose to answer by a stream
}

// toModern answers a legacy exchange, whose server has no sessions.
func (t *Translator) toModern(ctx context.Context, x *call.Exchange, body mcp.Body, send Send) (*http.Response, error) {
	if introduces(x, body) {
		c := &legacyCall{t: t, x: x, send: send, message: &body.Messages[0]}
		return c.initialize(ctx)
	}
	if version := x.Request.Header.Get(mcp.HeaderVersion); version != "" && !slices.Contains(legacyVersions, version) {
		return nil, &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest, Message: fmt.Sprintf("MCP-Protocol-Version %.40q is not known", version)}
	}
	v := newVisit("", client{info: text(""), capabilities: mcp.Token("{}")}) // of a client that has no session
	if x.Session != "" {
		if v = t.visits.find(x.Session, x.Caller()); v == nil {
			// An answer like a server's, after which the session may be begun again.
			return whole(http.StatusNotFound, mcp.AsError(x.NoSession(nil)).Body("")), nil
		}
	}
	switch x.Request.Method {
	case http.MethodDelete:
		t.visits.mu.Lock()
		defer t.visits.mu.Unlock()
		t.visits.end(v)
		return whole(http.StatusNoContent, nil), nil
	case http.MethodGet:
		return t.news(ctx, x, v, send)
	}
	for i := range body.Messages {
		v.told(&body.Messages[i])
	}
	switch {
	case body.RequestIDs() == nil:
		return whole(http.StatusAccepted, nil), nil
	case body.Batch:
		return t.batch(ctx, x, body, v, send)
	}
	c := &legacyCall{t: t, x: x, send: send, visit: v, message: &body.Messages[0]}
	c.params = objectOf(path(c.message.Raw, "params"))
	return c.answer(ctx)
}

// told takes what needs no answer.
func (v *visit) told(m *mcp.Message) {
	switch {
	case m.Kind == mcp.Response:
		v.answered(m)
	case m.Kind == mcp.Notification && m.Method == "notifications/cancelled":
		v.cancelled(path(m.Raw, "params", "requestId"))
	}
}

// initialize begins a session, with what the server says of itself.
func (c *legacyCall) initialize(ctx context.Context) (*http.Response, error) {
	params := objectOf(path(c.message.Raw, "params"))
	who := client{info: params.get("clientInfo"), capabilities: params.get("capabilities")}
	if objectOf(who.info) == nil || objectOf(who.capabilities) == nil {
		return nil, &mcp.Error{Status: http.StatusOK, Code: mcp.CodeInvalidParams, ID: c.message.ID,
			Message: "initialize needs protocolVersion, capabilities and clientInfo"}
	}
	resp, err := c.send(ctx, modern(c.x, mcp.ModernVersion, "server/discover", "", request(number(0), "server/discover", object{{"_meta", who.meta().token()}}.token())))
	if err != nil {
		return nil, err
	}
	message, err := hello(resp, io.LimitReader(resp.Body, maxHello))
	discard(resp)
	if err == nil {
		_, err = mcp.ParseLabelled(message)
	}
	found := objectOf(path(message, "result"))
	if err == nil && found == nil {
		err = errors.New("no result")
	}
	if err != nil {
		return nil, unusable(fmt.Errorf("server/discover: %s: %w", resp.Status, err))
	}
	v, err := c.t.visits.begin(c.x.Caller(), who)
	if err != nil {
		return nil, err
	}
	r := whole(http.StatusOK, response(c.message.ID, "result", c.introduction(params, found).token()))
	r.Header.Set(mcp.HeaderSession, v.id)
	return r, nil
}

// introduction is the answer to initialize, of that to server/discover.
func (c *legacyCall) introduction(params, found object) object {
	version, _ := params.get("protocolVersion").Text()
	if !slices.Contains(legacyVersions, version) {
		version = legacyVersions[0]
	}
	info := path(found.get("_meta"), metaServer)
	if info == nil {
		info = object{{"name", text(c.t.Server)}, {"version", text("unknown")}}.token()
	}
	o := object{{"protocolVersion", text(version)}, {"capabilities", found.or("capabilities", mcp.Token("{}")).get("capabilities")}, {"serverInfo", info}}
	if v := found.get("instructions"); v != nil {
		o = append(o, member{"instructions", v})
	}
	return o
}

// meta is what each request says of the client (MCP 2026-07-28, basic/index, "_meta").
func (c client) meta() object {
	o := object{{metaVersion, text(mcp.ModernVersion)}, {metaCapabilities, c.capabilities}}
	if objectOf(c.info) != nil {
		o = append(o, member{metaClient, c.info})
	}
	return o
}

// answer answers a request.
func (c *legacyCall) answer(ctx context.Context) (*http.Response, error) {
	switch m := c.message.Method; {
	case m == "ping":
		return c.done(mcp.Token("{}")), nil
	case m == "logging/setLevel":
		level := c.params.get("level")
		if gravity(level) == 0 {
			return c.failed(mcp.CodeInvalidParams, "level must be one of "+strings.Join(levels, ", ")), nil
		}
		c.visit.setLevel(level)
		return c.done(mcp.Token("{}")), nil
	case m == "resources/subscribe", m == "resources/unsubscribe":
		uri, ok := c.params.get("uri").Text()
		if !ok {
			return c.failed(mcp.CodeInvalidParams, "uri must be text"), nil
		}
		if !c.visit.subscribe(uri, m == "resources/subscribe") {
			return c.failed(mcp.CodeInvalidParams, fmt.Sprintf("A session can subscribe to %d resources", maxResources)), nil
		}
		return c.done(mcp.Token("{}")), nil
	case strings.HasPrefix(m, "tasks/"), strings.HasPrefix(m, "subscriptions/"), strings.HasPrefix(m, "server/"):
		return c.failed(mcp.CodeMethodNotFound, "Method not found"), nil
	}
	return replied(ctx, func(r *reply) { c.run(ctx, r) })
}

func (c *legacyCall) done(result mcp.Token) *http.Response {
	return whole(http.StatusOK, response(c.message.ID, "result", result))
}

// failed is an error in the answer. In the legacy era that is no error of HTTP.
func (c *legacyCall) failed(code int, message string) *http.Response {
	return whole(http.StatusOK, failure(c.message.ID, code, message))
}
