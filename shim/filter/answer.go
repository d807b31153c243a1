package filter

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/selector"
	"mcpgateway/shim/call"
)

// Answers returns what has the filters look at the messages that the server sends; nil where no filter looks at any. The
// function takes what a body or an event holds, one message or a batch, and returns what goes on, which may be nothing.
// It says also whether an answer was refused, and put another in its place. An error means that nobody can tell what it
// is, so that it must not go on.
func (s *Stage) Answers(ctx context.Context, x *call.Exchange) func(data []byte) (next []byte, refused bool, err error) {
	if len(x.Rules.Filters[selector.Response]) == 0 {
		return nil
	}
	a := &answers{stage: s, ctx: ctx, exchange: x, asked: map[string]selector.Message{}}
	for i := range x.MCP.Messages {
		if m := &x.MCP.Messages[i]; m.Kind == mcp.Request {
			named := called(m)
			named.Unknown = deferred(m.Method)
			a.asked[string(m.ID)] = named
		}
	}
	return a.review
}

// deferred tells of methods whose answers hold that of another request, of which only the server knows (MCP 2025-11-25,
// basic/utilities/tasks).
func deferred(method string) bool {
	return method == "tasks/result" || method == "tasks/get" || strings.HasPrefix(method, "notifications/tasks")
}

// answers are the messages of one exchange's answer.
type answers struct {
	stage    *Stage
	ctx      context.Context //nolint:containedctx // of the exchange: what it is about lives as long
	exchange *call.Exchange
	asked    map[string]selector.Message // by the id that is answered
}

func (a *answers) review(data []byte) ([]byte, bool, error) {
	parts, batch, err := mcp.ParseBatch(data)
	if err != nil {
		return nil, false, err
	}
	var next [][]byte
	changed, refused := false, false
	for i := range parts {
		made, no, err := a.message(&parts[i])
		if err != nil {
			return nil, false, err
		}
		if made != nil {
			next = append(next, made)
		}
		changed, refused = changed || !bytes.Equal(made, parts[i].Raw()), refused || no
	}
	switch {
	case !changed:
		return data, false, nil
	case len(next) == 0:
		return nil, refused, nil
	case !batch:
		return next[0], refused, nil
	}
	return append(append([]byte{'['}, bytes.Join(next, []byte{','})...), ']'), refused, nil
}

// message has the filters look at one message. Of those that are refused, an answer becomes an error, so that nobody waits
// for it; a notification is left out, and so is a request of the server's own.
func (a *answers) message(m *mcp.Part) (next []byte, refused bool, err error) {
	if m.Err != nil {
		return nil, false, m.Err
	}
	about := &subject{raw: m.Raw(), named: a.called(&m.Labelled)}
	about.accept = func(made []byte) (selector.Message, error) { return about.named, same(&m.Labelled, made) }
	r, err := a.stage.run(a.ctx, a.exchange, selector.Response, about)
	switch {
	case err != nil:
		return nil, false, err
	case r == nil:
		return about.raw, false, nil
	case m.Kind != mcp.Response:
		a.stage.config.Logger.Warn("a filter refused what the server sent by itself", "method", call.Clip(m.Method), "request", a.exchange.RequestID())
		return nil, false, nil
	}
	e := &mcp.Error{Status: http.StatusOK, Code: mcp.CodeRefused, ID: m.ID.Token, Message: r.reason}
	return e.Body(a.exchange.RequestID()), true, nil
}

// called is what selectors know of a message from the server. An answer is called by what it answers.
func (a *answers) called(m *mcp.Labelled) selector.Message {
	if m.Kind == mcp.Response {
		if named, ok := a.asked[string(m.ID.Token)]; ok {
			return named
		}
		return selector.Message{Unknown: true} // on a resumed stream, for one
	}
	uri, _ := m.URI.Text()
	return selector.Message{Method: m.Method, Names: []string{uri}, Unknown: deferred(m.Method)}
}

// same tells whether what a filter made of a message is still that message.
func same(m *mcp.Labelled, made []byte) error {
	other, err := mcp.ParseLabelled(made)
	if err != nil {
		return err
	}
	version, err := mcp.Members(made, "jsonrpc")
	if err != nil {
		return err
	}
	if string(version[0]) != `"2.0"` || other.Kind != m.Kind || other.Method != m.Method || !bytes.Equal(other.ID.Token, m.ID.Token) {
		return errors.New("another id, method or kind of message")
	}
	return nil
}
