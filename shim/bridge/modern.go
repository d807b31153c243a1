package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"mcpgateway/internal/mcp"
)

// What finds out a child's era. A ping goes behind: a legacy server answers it even before it is initialized, so one that
// says nothing to what it does not know need not be waited for until the end.
const (
	discover = `{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"` + mcp.ModernVersion + `",` +
		`"io.modelcontextprotocol/clientInfo":{"name":"mcpgateway","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`
	ping = `{"jsonrpc":"2.0","id":0,"method":"ping"}`

	afterPing = time.Second // how much longer than the ping's the answer may take
)

// postModern takes one message of revision 2026-07-28 or later.
func (b *Bridge) postModern(w http.ResponseWriter, r *http.Request) error {
	messages, batch, err := read(r)
	if err != nil {
		return err
	}
	m := &messages[0]
	if batch || m.Kind == mcp.Response {
		return invalid(nil, "this revision has neither batches nor responses from the client")
	}
	if m.Method == "initialize" {
		// A server of both eras would go back to the other one, for everybody.
		return &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeMethodNotFound, ID: m.ID.Token, Message: "This revision has no initialize"}
	}
	p, err := b.modern.get(r.Context())
	if err != nil {
		return withID(err, m.ID.Token)
	}
	if m.Kind == mcp.Notification {
		// Without a session nobody knows whose request a cancellation means: clients cancel by closing the stream.
		if m.Method != "notifications/cancelled" {
			if err := p.forward(r.Context(), m); err != nil {
				return unsent(err, nil)
			}
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	if m.Version == nil || m.Capabilities == nil {
		return &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidParams, ID: m.ID.Token,
			Message: "_meta must hold io.modelcontextprotocol/protocolVersion and io.modelcontextprotocol/clientCapabilities"}
	}
	a := answer{w: w, from: newOutlet(w, 1), pipe: p, streams: takesStream(r), modern: true, clock: &b.clock}
	x := &exchange{caller: r.Header.Get(HeaderCaller), to: a.from, streams: a.streams}
	if err := p.begin(r.Context(), m, x); err != nil {
		return unsent(err, m.ID.Token)
	}
	a.open = []*exchange{x}
	return a.send(r.Context())
}

// unsupported answers a request of a revision that nobody knows (MCP 2026-07-28, versioning).
func (b *Bridge) unsupported(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) error {
	if _, err := b.modern.get(r.Context()); err != nil {
		return withID(err, m.ID.Token)
	}
	b.mu.Lock()
	supported := b.supported
	b.mu.Unlock()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(m.ID.Token), "error": map[string]any{
		"code": mcp.CodeVersion, "message": "Unsupported protocol version",
		"data": map[string]any{"supported": supported, "requested": r.Header.Get(mcp.HeaderVersion)}}})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusBadRequest, body)
	return nil
}

// errOld is the answer to a modern request where the server is not. Clients take any 400 that no modern server would give
// as the sign to begin with initialize (MCP 2026-07-28, transports, "backwards compatibility").
var errOld = &mcp.Error{Status: http.StatusBadRequest, Code: mcp.CodeInvalidRequest,
	Message: "This server speaks the revisions with sessions, up to 2025-11-25: begin with initialize"}

// startModern starts the child of all modern requests. The first time it finds out whether there can be one.
func (b *Bridge) startModern() (*pipe, error) {
	b.mu.Lock()
	known := b.era
	b.mu.Unlock()
	if known == eraLegacy {
		return nil, errOld
	}
	p, err := b.starts.next(use{patience: patienceShared, stray: strayModern})
	if err != nil || known == eraModern {
		return p, err
	}
	found, supported, err := probe(p)
	if err != nil {
		b.discard(p)
		return nil, broken(fmt.Errorf("find the era: %w", err))
	}
	b.Logger.Info("era found", "modern", found == eraModern)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.supported = supported
	if b.era = found; found == eraLegacy {
		b.spare = p // the client begins a session next
		return nil, errOld
	}
	return p, nil
}

// takeSpare returns the child that was started to find out its era, once, if it lives.
func (b *Bridge) takeSpare() *pipe {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.spare
	b.spare = nil
	if p != nil {
		select {
		case <-p.ended:
			return nil
		default:
		}
	}
	return p
}

// probe finds out a child's era: any answer to server/discover but a modern server's means legacy, and so does none
// (MCP 2026-07-28, stdio, "backwards compatibility"). Some legacy servers say nothing at all before they are initialized.
func probe(p *pipe) (era, []string, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	type found struct {
		answer message
		err    error
	}
	discovered, ponged := make(chan found, 1), make(chan error, 1)
	ask := func(line string) (message, error) { return question(ctx, p, line) }
	go func() {
		m, err := ask(discover)
		discovered <- found{m, err}
	}()
	go func() {
		_, err := ask(ping)
		ponged <- err
	}()
	var late <-chan time.Time
	for {
		select {
		case f := <-discovered:
			if errors.Is(f.err, errSilent) {
				p.log.Warn("server answers neither server/discover nor ping: it is taken for a legacy one", "after", handshake.String())
				return eraLegacy, nil, nil
			}
			if f.err != nil {
				return eraUnknown, nil, f.err
			}
			found, supported := eraOf(f.answer)
			return found, supported, nil
		case err := <-ponged:
			if err == nil {
				late = time.After(afterPing)
			}
		case <-late:
			return eraLegacy, nil, nil
		}
	}
}

// eraOf reads the answer to server/discover, and the revisions that it names.
func eraOf(m message) (era, []string) {
	switch m.failed {
	case 0:
	case mcp.CodeHeaderMismatch, mcp.CodeCapability, mcp.CodeVersion:
		return eraModern, nil
	default:
		return eraLegacy, nil
	}
	var supported []string
	err := json.Unmarshal(member(member(m.line, "result"), "supportedVersions"), &supported)
	if err != nil || !slices.ContainsFunc(supported, func(v string) bool { return v >= mcp.ModernVersion }) {
		return eraLegacy, nil
	}
	return eraModern, supported
}

// strayModern takes what the modern child says beside what belongs to requests. There are no requests to clients, and
// log messages do not say whose call they are about: they go to the only one under way if that asked for them and no
// other caller was served before, and else to nobody, since they could be about somebody else's.
func strayModern(p *pipe, m mcp.Labelled) {
	if m.Kind == mcp.Request {
		p.reply(m, replyNobody)
		return
	}
	if x := p.alone(); x != nil && x.logs && x.streams {
		x.to.put(message{line: m.Relabel()}, p.used().patience)
		return
	}
	p.log.Debug("message for nobody", "method", m.Method)
}
