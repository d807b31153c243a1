package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

// How listeners live where every moment of a stream is paid for.
const (
	pollQuiet  = time.Second      // a poll of a server that is awake ends when nothing was said for so long
	pollAgain  = 30 * time.Second // until the client is to ask again: a listener's hour is 120 polls
	holdAgain  = time.Second
	neverAgain = 5 * time.Minute // where there is nothing to hear, or another hears it; there is no way to say never
)

// declineListener answers where nobody may listen. That a server has no such stream is said by 405 in the legacy era
// (MCP 2025-11-25, transports, "listening for messages"), and in the modern one by an acknowledgement that grants nothing.
func (g *gateway) declineListener(c *call) error {
	if c.r.Method == http.MethodGet {
		return &mcp.Error{Status: http.StatusMethodNotAllowed, Code: mcp.CodeInvalidRequest, Header: http.Header{"Allow": {"POST, DELETE"}},
			Message: "This server has no stream to listen to; what it says comes with the answers to calls"}
	}
	if err := c.checkSubscription(); err != nil {
		return err
	}
	c.beginListening(nil)
	l := &listening{g: g, c: c, out: newEventWriter(c, g.keepAlive)}
	defer l.out.stop()
	l.farewell(neverAgain)
	return nil
}

// meter serves a stream that is paid for by time: shortly (listen: poll), or until its function's time is over (hold). Each
// end is a clean one, which says when to come back.
func (l *listening) meter(ctx context.Context, cancel context.CancelFunc, resp *http.Response) {
	if l.c.entry.Listen == "hold" {
		if resp == nil {
			l.acknowledge(l.wanted())
		}
		if !l.follow(ctx, resp) {
			l.farewell(holdAgain)
		}
		return
	}
	if resp != nil {
		l.quiet = time.AfterFunc(pollQuiet, cancel)
		defer l.quiet.Stop()
		if l.relay(resp) {
			return
		}
	}
	l.farewell(pollAgain)
}

// polls tells whether a listener comes by the clock. One that may want the rest of a call's answer does not.
func (c *call) polls() bool {
	return c.metered() && c.listener() && c.entry.Listen != "hold" && !c.mayResume()
}

// checkSubscription reads the request of a listener that is answered in the server's place. Where it is sent on the shim
// does that.
func (c *call) checkSubscription() error {
	body, err := c.parse()
	if err != nil {
		return err
	}
	if err := mcp.CheckMatch(c.r.Header, *body); err != nil {
		return err
	}
	if body.Messages[0].Kind != mcp.Request {
		return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest, Message: "subscriptions/listen is a request: it needs an id"}
	}
	return nil
}

// acknowledge tells a client of the modern era in the server's place what it will hear of, as JSON: the server is not woken
// for that. The client of a legacy stream expects nothing of the kind.
func (l *listening) acknowledge(granted []byte) {
	if l.c.r.Method != http.MethodPost || l.acked {
		return
	}
	l.acked = true
	_ = l.out.write(fmt.Appendf(nil, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","+
		"\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%s},\"notifications\":%s}}\n\n", l.id(), granted)) // who left is seen later
}

// wanted is what the client asks to hear of: the server is asked for it as soon as it is awake.
func (l *listening) wanted() []byte {
	params, err := mcp.Members(l.c.body, "params")
	if err != nil || params[0] == nil {
		return nothing
	}
	asked, err := mcp.Members(params[0], "notifications")
	var line bytes.Buffer // an event's data ends with the line
	if err != nil || !bytes.HasPrefix(asked[0], []byte("{")) || json.Compact(&line, asked[0]) != nil {
		return nothing
	}
	return line.Bytes()
}

var nothing = []byte("{}")

// id is the JSON-RPC id of the request that listens, which is the subscription's too.
func (l *listening) id() mcp.Token { return l.c.messages.Messages[0].ID }

// farewell ends the stream cleanly. In the modern era that is the request's result (MCP 2026-07-28, subscriptions).
func (l *listening) farewell(again time.Duration) {
	l.acknowledge(nothing)
	if l.c.r.Method == http.MethodPost {
		_ = l.out.write(fmt.Appendf(nil, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"resultType\":\"complete\","+
			"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":%[1]s}}}\n", l.id()))
	}
	_ = l.out.write(retry(again)) // its blank line ends the event before
}
