package replay

import "context"

// complete notes that one who took the stream up had it to its end.
func (s *Stream) complete(turn int) {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.followed = max(s.followed, turn)
	s.changed()
}

// Await waits until there is nothing more for a client that left with the event of a number: it came back for the rest and
// had it, or it has the answer, or nobody can get that any more.
func (s *Stream) Await(ctx context.Context, after int) error {
	since := s.turn()
	for {
		news := s.awaited(after, since)
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

func (s *Stream) turn() int {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	return s.taken
}

// awaited is closed when there may be nothing more to wait for; nil where there is nothing.
func (s *Stream) awaited(after, since int) <-chan struct{} {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	if s.followed > since || s.answered && after >= s.count || s.ended && (!s.answered || len(s.events) == 0) {
		return nil
	}
	return s.news
}
