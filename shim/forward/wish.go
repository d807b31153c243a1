package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/call"
	"mcpgateway/shim/session"
	"mcpgateway/shim/state"
)

// wishes are what the requests of an exchange ask of the session itself, by the requests' ids.
type wishes struct {
	of   map[string]state.Change
	keep func([]state.Change)
}

// wishes are nil where there are none, or nothing is kept of them.
func (f *Forwarder) wishes(x *call.Exchange) *wishes {
	if f.States == nil || x.Sealed == nil {
		return nil
	}
	w := &wishes{of: map[string]state.Change{}, keep: func(c []state.Change) {
		f.States.Change(x.Request.Context(), x.Sealed, callerOf(x), c...)
	}}
	for i := range x.MCP.Messages {
		w.add(&x.MCP.Messages[i])
	}
	if len(w.of) == 0 {
		return nil
	}
	return w
}

// add notes what a message asks of the session, if it does.
func (w *wishes) add(m *mcp.Message) {
	if c, ok := wish(m); ok && m.Kind == mcp.Request {
		w.of[string(m.ID)] = c
	}
}

// wish is what a request asks of its session (MCP 2025-11-25, logging and resources).
func wish(m *mcp.Message) (c state.Change, ok bool) {
	switch m.Method {
	case "logging/setLevel":
		params, err := mcp.Members(m.Raw, "params")
		if err != nil {
			return c, false
		}
		level, err := mcp.Members(params[0], "level")
		if err != nil {
			return c, false
		}
		c.Kind = state.Level
		c.Value, ok = level[0].Text()
	case "resources/subscribe":
		c.Kind = state.Subscribe
		c.Value, ok = m.Params.URI.Text()
	case "resources/unsubscribe":
		c.Kind = state.Unsubscribe
		c.Value, ok = m.Params.URI.Text()
	}
	return c, ok
}

// granted has those be kept that a message of the server grants, or several in a batch, before it goes on.
func (w *wishes) granted(data []byte) {
	if w == nil || len(data) == 0 {
		return
	}
	answers, err := mcp.Parse(data)
	if err != nil {
		return // its client cannot read it either
	}
	var changes []state.Change
	for i := range answers.Messages {
		m := &answers.Messages[i]
		c, asked := w.of[string(m.ID)]
		if m.Kind != mcp.Response || !asked {
			continue
		}
		delete(w.of, string(m.ID))
		if result, err := mcp.Members(m.Raw, "result"); err == nil && result[0] != nil {
			changes = append(changes, c)
		}
	}
	if changes != nil {
		w.keep(changes)
	}
}

func callerOf(x *call.Exchange) state.Caller {
	return state.Caller{Issuer: x.Who.Issuer, Subject: x.Who.Subject}
}

// end has a session be over that its client ended, here and in lives to come.
func (f *Forwarder) end(ctx context.Context, x *call.Exchange) {
	f.Living.End(x.Sealed)
	if f.States != nil {
		f.States.Change(ctx, x.Sealed, callerOf(x), state.Change{Kind: state.End})
	}
}

// wanted is what a session's client wants of the server that the session begins at.
func (f *Forwarder) wanted(ctx context.Context, y *call.Exchange, s *session.Session) state.State {
	if f.States == nil {
		return state.State{}
	}
	return f.States.Begin(ctx, s, callerOf(y))
}

// owed tells the server what it could not be told when the session began there: the store was away.
func (f *Forwarder) owed(ctx context.Context, x *call.Exchange) {
	if f.States == nil {
		return
	}
	if wanted, owed := f.States.TakeOwed(x.Sealed); owed {
		_ = f.restore(ctx, within(x, x.Session, ""), x.Sealed, wanted) // the call that comes now says what is wrong
	}
}

// restore asks the server for what the session's client had asked of the one before. What its caller may no longer ask for is
// left out, as the policies say now; what the server refuses now is like a subscription that it dropped. An error is that the
// server cannot be asked.
func (f *Forwarder) restore(ctx context.Context, y *call.Exchange, s *session.Session, wanted state.State) error {
	var bodies []string
	request := func(method, member, value string) {
		text, _ := json.Marshal(value) // texts cannot fail
		bodies = append(bodies, `{"jsonrpc":"2.0","id":`+strconv.Itoa(len(bodies)+1)+`,"method":"`+method+`","params":{"`+member+`":`+string(text)+`}}`)
	}
	if wanted.Level != "" {
		request("logging/setLevel", "level", wanted.Level)
	}
	for _, uri := range wanted.URIs {
		request("resources/subscribe", "uri", uri)
	}
	for _, body := range bodies {
		y := within(y, y.Session, body)
		y.Request.Header[mcp.HeaderVersion] = []string{s.Version}
		var err error
		if y.MCP, err = mcp.Parse(y.Body); err != nil || f.Authorize.Check(y) != nil {
			continue
		}
		resp, err := f.exchange(ctx, y)
		if err != nil {
			return fmt.Errorf("restore a session: %w", err)
		}
		discard(resp)
	}
	return nil
}
