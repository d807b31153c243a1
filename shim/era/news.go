package era

import (
	"context"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
)

// news is a legacy session's listening stream: with what the server says to a subscriptions/listen that asks for all.
func (t *Translator) news(ctx context.Context, x *call.Exchange, v *visit, send Send) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &legacyCall{t: t, x: x, send: send, visit: v}
	l, changed, err := c.open(ctx)
	if l == nil {
		cancel()
		if err != nil {
			return nil, err
		}
		resp := whole(http.StatusMethodNotAllowed, nil) // there is no such stream (MCP 2025-11-25, transports)
		resp.Header.Set("Allow", "POST, DELETE")
		return resp, nil
	}
	v.listening(cancel)
	return replied(ctx, func(r *reply) {
		defer cancel()
		r.begin()
		defer r.out.Close()
		for l != nil {
			if !c.hear(ctx, r, l, changed) {
				return
			}
			l, changed, _ = c.open(ctx) // of more resources, or fewer
		}
	})
}

// open has the server begin to tell what changes; nil where it does not.
func (c *legacyCall) open(ctx context.Context) (l *leg, changed <-chan struct{}, err error) {
	if c.x.Session == "" {
		return nil, nil, nil
	}
	uris, changed := c.visit.subscribed()
	filter := object{}
	for _, change := range changes {
		filter = append(filter, member{change.name, mcp.Token("true")})
	}
	if len(uris) > 0 {
		list := []byte{'['}
		for i, uri := range uris {
			if i > 0 {
				list = append(list, ',')
			}
			list = append(list, text(uri)...)
		}
		filter = append(filter, member{"resourceSubscriptions", append(list, ']')})
	}
	params := object{{"notifications", filter.token()}, {"_meta", c.visit.client.meta().token()}}
	l = newLeg(ctx)
	resp, err := c.send(l.ctx, modern(c.x, mcp.ModernVersion, "subscriptions/listen", "",
		request(number(c.t.last.Add(1)), "subscriptions/listen", params.token())))
	if err != nil {
		l.cancel()
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK || !mcp.IsStream(resp.Header) {
		discard(resp)
		l.cancel()
		return nil, nil, nil
	}
	go l.read(resp)
	return l, changed, nil
}

// hear hands on what the server says, and tells whether it must be asked anew since the client wants to know something else.
func (c *legacyCall) hear(ctx context.Context, r *reply, l *leg, changed <-chan struct{}) bool {
	defer l.cancel()
	for {
		select {
		case m, more := <-l.messages:
			if !more {
				return false
			}
			if m.Kind != mcp.Notification || m.Method == "notifications/subscriptions/acknowledged" {
				continue
			}
			if r.event(plain(m.Raw())) != nil {
				return false
			}
		case <-changed:
			return true
		case <-c.visit.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// plain is a notification without the subscription that it belongs to, which no session has.
func plain(message mcp.Token) mcp.Token {
	o := objectOf(message)
	params := objectOf(o.get("params"))
	meta := objectOf(params.get("_meta")).without(metaSubscription)
	if params = params.without("_meta"); len(meta) > 0 {
		params = append(params, member{"_meta", meta.token()})
	}
	if o = o.without("params"); len(params) > 0 {
		o = append(o, member{"params", params.token()})
	}
	return o.token()
}
