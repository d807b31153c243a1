package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcpgateway/internal/mcp"
)

// introduction is how we begin with a child that all legacy clients share: as a client that can do nothing itself, since
// no request of the child's could be for one of them rather than another.
const introduction = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
	`"capabilities":{},"clientInfo":{"name":"mcpgateway","version":"1"}}}`

const initializedNotice = `{"jsonrpc":"2.0","method":"notifications/initialized"}`

// handshake bounds what we ask a child ourselves. A program may take long to start the first time.
const handshake = time.Minute

// join begins a session on the shared child: every client gets the answer that we got.
func (b *Bridge) join(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) error {
	if _, err := b.legacy.get(r.Context()); err != nil {
		return withID(err, m.ID.Token)
	}
	s := &session{caller: r.Header.Get(HeaderCaller)}
	b.sessions.add(s)
	b.mu.Lock()
	initialized := b.initialized
	b.mu.Unlock()
	w.Header().Set(mcp.HeaderSession, s.id)
	writeJSON(w, http.StatusOK, result(m.ID.Token, initialized))
	return nil
}

// startLegacy starts the shared child of the legacy sessions, initializes it, and subscribes again to what they want.
func (b *Bridge) startLegacy() (*pipe, error) {
	ctx, stop := context.WithTimeout(context.Background(), handshake)
	defer stop()
	shared := use{patience: patienceShared, stray: b.strayLegacy}
	p := b.takeSpare()
	if p == nil {
		var err error
		if p, err = b.starts.next(shared); err != nil {
			return nil, err
		}
	}
	p.become(shared)
	answer, err := question(ctx, p, introduction)
	if err == nil {
		err = b.keepIntroduction(answer)
	}
	if err == nil {
		err = p.process.write(ctx, []byte(initializedNotice))
	}
	if err != nil {
		b.discard(p)
		return nil, broken(fmt.Errorf("initialize: %w", err))
	}
	for _, uri := range b.subscribed.uris() {
		if err := watch(ctx, p, "resources/subscribe", uri); err != nil {
			p.log.Warn("not subscribed again", "error", err)
			break // it is gone, or has said nothing for too long
		}
	}
	return p, nil
}

func (b *Bridge) keepIntroduction(m message) error {
	introduction := member(m.line, "result")
	if m.failed != 0 || len(introduction) == 0 {
		return fmt.Errorf("the server answered %.200s", m.line)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.initialized = mcp.Token(introduction)
	return nil
}

// errSilent says that a child did not answer in time.
var errSilent = errors.New("the server answers nothing")

// question asks a child something ourselves.
func question(ctx context.Context, p *pipe, line string) (message, error) {
	ctx, stop := context.WithTimeout(ctx, handshake)
	defer stop()
	m, err := mcp.ParseLabelled([]byte(line))
	if err != nil {
		return message{}, err
	}
	a := answer{from: newOutlet(nil, 1), pipe: p}
	x := &exchange{to: a.from, ours: true}
	var answer message
	if err = p.begin(ctx, &m, x); err == nil {
		a.open = []*exchange{x}
		answer, err = a.first(ctx)
	}
	if ctx.Err() != nil {
		err = errSilent
	}
	return answer, err
}

// strayLegacy takes what the shared child says beside its answers. What changed concerns all, an updated resource those
// who subscribed to it. Log messages could be of anybody's calls, so nobody gets them.
func (b *Bridge) strayLegacy(p *pipe, m mcp.Labelled) {
	switch {
	case m.Kind == mcp.Request && m.Method == "ping":
		p.reply(m, replyPong)
	case m.Kind == mcp.Request:
		p.reply(m, replyNobody)
	case m.Method == "notifications/resources/updated":
		uri, _ := m.URI.Text()
		tell(p, m.Relabel(), b.subscribed.by(uri))
	case m.Method == "notifications/tools/list_changed", m.Method == "notifications/prompts/list_changed",
		m.Method == "notifications/resources/list_changed":
		tell(p, m.Relabel(), b.sessions.list())
	default:
		p.log.Debug("message for nobody", "method", m.Method)
	}
}

// tell tells many sessions the same. All of them together may hold the child back no longer than one.
func tell(p *pipe, line []byte, to []*session) {
	until := time.Now().Add(p.used().patience)
	for _, s := range to {
		s.tell(p, line, time.Until(until))
	}
}

// subscribe notes what a session that shares its child subscribes to. It is false where the child need not be told: while
// others want a resource, one client's end of it is not the child's.
func (b *Bridge) subscribe(s *session, m *mcp.Labelled) (tell bool, err error) {
	uri, ok := m.URI.Text()
	if !ok {
		return true, nil
	}
	switch m.Method {
	case "resources/subscribe":
		err := b.subscribed.add(s, uri)
		return err == nil, err
	case "resources/unsubscribe":
		return b.subscribed.remove(s, uri), nil
	}
	return true, nil
}
