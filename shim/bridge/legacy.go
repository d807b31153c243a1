package bridge

import (
	"context"
	"net/http"
	"slices"
	"time"

	"mcpgateway/internal/mcp"
)

// legacyVersions are the revisions with sessions (MCP-Protocol-Version, transports).
var legacyVersions = []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}

// postLegacy takes one message of a session, or a batch (2025-03-26).
func (b *Bridge) postLegacy(w http.ResponseWriter, r *http.Request) error {
	messages, batch, err := read(r)
	if err != nil {
		return err
	}
	if v := r.Header.Get(mcp.HeaderVersion); v != "" && !slices.Contains(legacyVersions, v) {
		if m := &messages[0]; m.Kind == mcp.Request && m.Version != nil {
			return b.unsupported(w, r, m) // of some later revision, since it says so in its body too
		}
		return invalid(messages[0].ID.Token, "MCP-Protocol-Version %.40q is not known", v)
	}
	if slices.ContainsFunc(messages, func(m mcp.Labelled) bool { return m.Method == "initialize" && m.Kind == mcp.Request }) {
		if len(messages) > 1 {
			return invalid(nil, "initialize must be alone")
		}
		return b.initialize(w, r, &messages[0])
	}
	s, err := b.session(r)
	if err != nil {
		return withID(err, messages[0].ID.Token)
	}
	p, err := b.pipeOf(r.Context(), s)
	if err != nil {
		return withID(err, messages[0].ID.Token)
	}
	s.touch()
	defer s.touch()
	a := answer{w: w, from: newOutlet(w, len(messages)), pipe: p, batch: batch, streams: takesStream(r), clock: &b.clock}
	for i := range messages {
		if err := b.send(r.Context(), s, &messages[i], &a); err != nil {
			a.leave()
			return unsent(err, messages[i].ID.Token)
		}
	}
	if len(a.open) == 0 {
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	return a.send(r.Context())
}

// session finds the caller's session.
func (b *Bridge) session(r *http.Request) (*session, error) {
	id := r.Header.Get(mcp.HeaderSession)
	if id == "" {
		return nil, invalid(nil, "Mcp-Session-Id is missing; send initialize first")
	}
	s := b.sessions.find(id, r.Header.Get(HeaderCaller))
	if s == nil {
		return nil, errNoSession
	}
	return s, nil
}

var errNoSession = &mcp.Error{Status: http.StatusNotFound, Code: mcp.CodeRefused,
	Message: "Session not found: it ended or never was; initialize again"}

// pipeOf is the child that a session's messages go to.
func (b *Bridge) pipeOf(ctx context.Context, s *session) (*pipe, error) {
	if s.own != nil {
		return s.own, nil
	}
	return b.legacy.get(ctx)
}

// send hands one message of a session's to the child.
func (b *Bridge) send(ctx context.Context, s *session, m *mcp.Labelled, a *answer) error {
	switch {
	case m.Kind == mcp.Request:
		return b.ask(ctx, s, m, a)
	case m.Kind == mcp.Response:
		if !s.answered(m.ID.Token) {
			return nil // nobody asked, or it was answered before
		}
	case m.Method == "notifications/cancelled":
		x := a.pipe.find(s, m.Request.Token)
		if x == nil {
			return nil // it is over
		}
		return a.pipe.forward(ctx, m, mcp.Change{Label: m.Request, With: x.token()})
	case s.own == nil:
		return nil // initialized, roots: the child was told by us what holds for all
	}
	return a.pipe.forward(ctx, m)
}

// ask sends a request of a session's.
func (b *Bridge) ask(ctx context.Context, s *session, m *mcp.Labelled, a *answer) error {
	x := &exchange{session: s, caller: s.caller, to: a.from, streams: a.streams}
	if s.own == nil {
		tell, err := b.subscribe(s, m)
		if err != nil {
			return err
		}
		if !tell {
			x.id, a.open = m.ID.Token, append(a.open, x)
			a.from.put(message{line: result(m.ID.Token, mcp.Token("{}")), of: x}, 0)
			return nil
		}
	}
	if err := a.pipe.begin(ctx, m, x); err != nil {
		return err
	}
	a.open = append(a.open, x)
	if s.own == nil && s.ending() {
		x.to.leave() // who ended it did not see the request
	}
	return nil
}

// initialize begins a session.
func (b *Bridge) initialize(w http.ResponseWriter, r *http.Request, m *mcp.Labelled) error {
	if b.Shared {
		return b.join(w, r, m)
	}
	s := &session{caller: r.Header.Get(HeaderCaller), alone: true}
	var err error
	if s.own, err = b.startSession(s); err != nil {
		return withID(err, m.ID.Token)
	}
	b.sessions.add(s)
	// Nothing but the answer may come on this stream: its headers say whether there is a session.
	a := answer{w: w, from: newOutlet(w, 1), pipe: s.own}
	var answer message
	if err = b.ask(r.Context(), s, m, &a); err != nil {
		err = unsent(err, m.ID.Token)
	} else {
		answer, err = a.first(r.Context())
	}
	if r.Context().Err() != nil {
		s.own.abandon()
	}
	if err != nil {
		go b.close(s)
		return err
	}
	if answer.failed != 0 {
		go b.close(s)
	} else {
		w.Header().Set(mcp.HeaderSession, s.id)
	}
	writeJSON(w, http.StatusOK, answer.line)
	return nil
}

// startSession starts the child of a session, after ending another's where there is no place.
func (b *Bridge) startSession(s *session) (*pipe, error) {
	victim, err := b.sessions.take(s.caller)
	if err != nil {
		return nil, err
	}
	if victim != nil {
		b.Logger.Info("session ended for a new one", "pid", victim.own.process.cmd.Process.Pid, "idle", time.Since(victim.lastUsed()).String())
		victim.own.process.stop() // before the next starts: the maximum is one of processes
	}
	own := use{patience: patienceOwn, stray: s.stray}
	if p := b.takeSpare(); p != nil {
		p.become(own)
		return p, nil
	}
	p, err := b.starts.next(own)
	if err != nil {
		b.sessions.release()
	}
	return p, err
}

// close ends a session, with its child, and returns when that is gone: only then its place is another's.
func (b *Bridge) close(s *session) {
	if b.sessions.remove(s) && s.own != nil {
		b.discard(s.own)
		b.sessions.release()
	}
}

// discard ends a child, and returns when it is gone.
func (b *Bridge) discard(p *pipe) {
	b.end(p)
	<-p.process.exited
}

// delete ends a session at its client's wish.
func (b *Bridge) delete(w http.ResponseWriter, r *http.Request) error {
	s, err := b.session(r)
	if err != nil {
		return err
	}
	b.close(s)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listen is a session's listening stream. The newest takes the place of older ones.
func (b *Bridge) listen(w http.ResponseWriter, r *http.Request) error {
	s, err := b.session(r)
	if err != nil {
		return err
	}
	o := newOutlet(w, 0)
	waiting, lost := s.listen(o)
	defer func() { s.unlisten(o, waiting) }()
	if lost > 0 {
		b.Logger.Warn("messages were lost while nobody listened", "count", lost)
	}
	var ended <-chan struct{} // a child that is shared starts again
	if s.own != nil {
		ended = s.own.ended
	}
	startStream(w)
	for {
		for len(waiting) > 0 {
			if writeEvent(w, waiting[0]) != nil {
				return nil
			}
			waiting = waiting[1:]
		}
		select {
		case m := <-o.messages:
			waiting = [][]byte{m.line}
		case <-o.left:
			return nil // a newer stream
		case <-ended:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}
