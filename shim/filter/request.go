package filter

import (
	"bytes"
	"errors"
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/selector"
	"mcpgateway/shim/call"
)

// Requests has the filters look at every message that the caller sends. It reports whether one was changed: then x holds
// what goes on, with headers that say the same, and all that was decided on the old message must be decided again.
//
// One message that is refused refuses all, as with policies. A notification and a reply have no answer that a client would
// show: they are refused by status.
func (s *Stage) Requests(x *call.Exchange) (changed bool, err error) {
	if len(x.Rules.Filters[selector.Request]) == 0 {
		return false, nil
	}
	raws := make([][]byte, len(x.MCP.Messages))
	header := x.Request.Header
	for i := range x.MCP.Messages {
		m := &x.MCP.Messages[i]
		next := header
		about := &subject{raw: m.Raw, named: called(m)}
		about.accept = func(raw []byte) (selector.Message, error) {
			made, h, err := replace(m, raw, header)
			if err != nil {
				return selector.Message{}, err
			}
			next = h
			return called(made), nil
		}
		refused, err := s.run(x.Request.Context(), x, selector.Request, about)
		if err != nil {
			return false, &mcp.Error{Status: mcp.StatusClientLeft, Code: mcp.CodeUnavailable, Message: "The client left", Cause: err}
		}
		if refused != nil {
			return false, refusal(&x.MCP, m, refused)
		}
		changed = changed || !bytes.Equal(about.raw, m.Raw)
		raws[i], header = about.raw, next
	}
	if !changed {
		return false, nil
	}
	return true, rebuild(x, raws, header)
}

// called is what selectors know of a message from the client. A reply does not say what it replies to.
func called(m *mcp.Message) selector.Message {
	target := m.Target()
	name, _ := target.Name.Text()
	named := selector.Message{Method: m.Method, Names: []string{name}}
	for _, t := range target.More {
		uri, _ := t.Text()
		named.Names = append(named.Names, uri)
	}
	return named
}

// replace reads a message that a filter made of m, as strictly as one of a caller. It must be the same request: same kind,
// id and method. The headers are those that repeat it.
func replace(m *mcp.Message, raw []byte, header http.Header) (*mcp.Message, http.Header, error) {
	body, err := mcp.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	if body.Batch {
		return nil, nil, errors.New("a batch")
	}
	made := &body.Messages[0]
	if made.Kind != m.Kind || made.Method != m.Method || !bytes.Equal(made.ID, m.ID) {
		return nil, nil, errors.New("another id, method or kind of message")
	}
	if err := checkParams(header, m.Params.Arguments, made.Params.Arguments); err != nil {
		return nil, nil, err
	}
	h := header.Clone()
	mcp.RepeatName(h, made)
	if err := mcp.CheckMatch(h, body); err != nil {
		return nil, nil, err
	}
	return made, h, nil
}

// rebuild has x hold the messages that go on.
func rebuild(x *call.Exchange, raws [][]byte, header http.Header) error {
	body := raws[0]
	if x.MCP.Batch {
		body = append(append([]byte{'['}, bytes.Join(raws, []byte{','})...), ']')
	}
	parsed, err := mcp.Parse(body)
	if err != nil {
		return err
	}
	x.Body, x.MCP, x.Request.Header = body, parsed, header
	return nil
}

// refusal reaches a caller as a JSON-RPC error on HTTP 200, which every client shows to its user.
func refusal(body *mcp.Body, m *mcp.Message, r *rejection) error {
	e := &mcp.Error{Status: http.StatusOK, Code: mcp.CodeRefused, ID: m.ID, Message: r.reason}
	if body.Batch {
		e.ID, e.Batch = nil, body.RequestIDs()
	}
	if m.Kind != mcp.Request && e.Batch == nil {
		e.Status = http.StatusForbidden
	}
	return e
}
