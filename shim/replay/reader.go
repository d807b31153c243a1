package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// maxUnread is how much a Reader may be behind, in bytes, until who adds to its stream waits for it.
const maxUnread = maxStream / 2

// Listen begins to keep an owner's listening stream under a name that no other has. It ends with Drop.
func (k *Keeper) Listen(owner, name string) *Stream {
	s := k.Begin(owner, name)
	s.listens = true
	return s
}

// Pass adds an event of a listener's stream as it is: a client cannot take the stream up by it.
func (s *Stream) Pass(event []byte) {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.add(bytes.Clone(event))
}

// Pause notes that for now nothing comes on a listener's stream, whose Reader ends; Resume, that it goes on.
func (s *Stream) Pause() { s.pause(true) }

// Resume is the opposite of Pause.
func (s *Stream) Resume() { s.pause(false) }

func (s *Stream) pause(paused bool) {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.paused = paused
	s.changed()
}

// Room waits until the stream's Reader is not far behind. Where there is none nobody is waited for: what does not fit is lost.
func (s *Stream) Room(ctx context.Context) error {
	for {
		news := s.crowded()
		if news == nil {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// crowded is closed when there may be room; nil where there is.
func (s *Stream) crowded() <-chan struct{} {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	unread := 0
	for _, event := range s.events[min(max(0, s.sent-s.count+len(s.events)), len(s.events)):] {
		unread += len(event)
	}
	if !s.read || unread <= maxUnread {
		return nil
	}
	return s.news
}

// Reader reads a listener's stream for one client, as it comes. It ends with io.EOF where nothing comes for now.
type Reader struct {
	stream *Stream
	ctx    context.Context //nolint:containedctx // of the client's request
	turn   int
	after  int
	left   []byte
}

// Read begins to read after an event, of which an id tells; without one of this stream after the last that anybody was given.
// Whoever read before gets nothing more. Primed has the client be told first where it is.
func (s *Stream) Read(ctx context.Context, id string, primed bool) *Reader {
	_, after, found, ok := s.keeper.Find(id)
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	r := &Reader{stream: s, ctx: ctx, after: s.sent}
	if ok && found == s && after <= s.count {
		r.after, primed = after, false
	}
	if primed {
		r.left = fmt.Appendf(nil, "id: %s.%d\ndata: \n\n", s.name, r.after)
	}
	s.taken++
	s.read, s.sent, r.turn = true, r.after, s.taken
	s.changed()
	return r
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		next, news, err := r.stream.next(r.turn, &r.after)
		switch {
		case err != nil:
			return 0, err
		case next != nil:
			r.left = bytes.Join(next, nil)
		case news == nil:
			return 0, io.EOF
		default:
			select {
			case <-news:
			case <-r.ctx.Done():
				return 0, context.Cause(r.ctx)
			}
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close implements io.Closer. What was not read waits for the next Reader.
func (r *Reader) Close() error {
	s := r.stream
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	if s.taken == r.turn {
		s.read = false
		s.bound()
		s.changed()
	}
	return nil
}
