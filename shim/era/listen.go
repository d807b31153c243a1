package era

import (
	"context"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

const (
	metaSubscription = "io.modelcontextprotocol/subscriptionId"
	resourceUpdated  = "notifications/resources/updated"
)

// changes are the notifications that a listener can ask for, by their names in its filter, with what the server must be
// capable of (MCP 2026-07-28, patterns, subscriptions).
var changes = []struct {
	name, method string
	capability   [2]string
}{
	{"toolsListChanged", "notifications/tools/list_changed", [2]string{"tools", "listChanged"}},
	{"promptsListChanged", "notifications/prompts/list_changed", [2]string{"prompts", "listChanged"}},
	{"resourcesListChanged", "notifications/resources/list_changed", [2]string{"resources", "listChanged"}},
}

// published are the notifications that belong to no request, wherever the server says them.
var published = map[string]bool{"notifications/tools/list_changed": true, "notifications/prompts/list_changed": true,
	"notifications/resources/list_changed": true, resourceUpdated: true}

// listen answers subscriptions/listen: with the notifications of the session, as far as they were asked for.
func (c *modernCall) listen(ctx context.Context) (*http.Response, error) {
	l, granted := c.subscription()
	watch, ok := c.kept.hub.add(l)
	if !ok {
		return nil, &mcp.Error{Status: http.StatusTooManyRequests, Code: mcp.CodeUnavailable, RetryAfter: time.Second, ID: c.message.ID,
			Message: "Too many listeners of this client; end some"}
	}
	return replied(ctx, func(r *reply) {
		defer c.leave(l)
		c.kept.listen(ctx, c.x, c.session, c.send)
		for _, uri := range watch {
			c.watch(ctx, "resources/subscribe", uri)
		}
		tag := object{{metaSubscription, c.message.ID}}
		r.begin()
		defer r.out.Close()
		params := object{{"_meta", tag.token()}, {"notifications", granted.token()}}
		if r.event(notification("notifications/subscriptions/acknowledged", params.token())) != nil {
			return
		}
		for {
			select {
			case news := <-l.news:
				o := objectOf(news)
				params := objectOf(o.get("params"))
				params = params.with("_meta", objectOf(params.get("_meta")).with(metaSubscription, c.message.ID).token())
				if r.event(o.with("params", params.token()).token()) != nil {
					return
				}
			case <-l.ended:
				return
			case <-ctx.Done():
				return
			}
		}
	})
}

// subscription is what a listener is to get, and what of its filter that is.
func (c *modernCall) subscription() (l *listener, granted object) {
	filter := objectOf(c.params.get("notifications"))
	l, granted = newListener(), object{}
	for _, change := range changes {
		if isTrue(filter.get(change.name)) && isTrue(c.session.capability(change.capability[0], change.capability[1])) {
			l.methods[change.method] = true
			granted = append(granted, member{change.name, mcp.Token("true")})
		}
	}
	uris := filter.get("resourceSubscriptions")
	if wanted := texts(uris); wanted != nil && isTrue(c.session.capability("resources", "subscribe")) {
		l.methods[resourceUpdated] = true
		for _, uri := range wanted {
			l.uris[uri] = true
		}
		granted = append(granted, member{"resourceSubscriptions", uris})
	}
	return l, granted
}

func isTrue(t mcp.Token) bool { return string(t) == "true" }

// leave forgets a listener. What nobody wants for a while the server watches no longer.
func (c *modernCall) leave(l *listener) {
	unwatch := c.kept.hub.remove(l)
	if len(unwatch) == 0 {
		c.release()
		return
	}
	time.AfterFunc(c.t.linger, func() {
		defer c.release()
		ctx, cancel := context.WithTimeout(context.Background(), endWithin)
		defer cancel()
		for _, uri := range unwatch {
			if c.kept.hub.unwatch(uri) {
				c.watch(ctx, "resources/unsubscribe", uri)
			}
		}
	})
}

// watch has the server watch a resource, or do so no longer. Where it refuses, nothing comes of it.
func (c *modernCall) watch(ctx context.Context, method, uri string) {
	params := object{{"uri", text(uri)}}
	y := c.kept.errand(c.x, c.session, request(number(c.t.last.Add(1)), method, params.token()))
	if err := tell(ctx, y, c.send); err != nil && ctx.Err() == nil {
		c.t.Logger.Warn("a resource is not watched", "method", method, "request", c.x.RequestID(), "error", err)
	}
}
