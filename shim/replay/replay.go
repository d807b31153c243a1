// Package replay keeps what was sent of streams that a client may have lost, so that it can take them up again (MCP
// 2025-11-25, transports, "resumability and redelivery"). It sends nothing, and decides nothing about whose a stream is.
package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What is kept, in bytes, and for how long after a stream's end.
const (
	maxStream = 1 << 20
	maxAll    = 8 << 20
	Kept      = 5 * time.Minute
)

// ErrLost says that a stream's answer is not to be had any more: it was too long to be kept, or never came.
var ErrLost = errors.New("the stream's answer is lost")

// errTaken says that another client follows the stream now: nothing goes out on two.
var errTaken = errors.New("the stream was taken up by another request")

// Keeper keeps streams.
type Keeper struct {
	mu      sync.Mutex
	streams map[string]*Stream
	ended   []*Stream // the oldest first
	size    int
}

// NewKeeper makes a Keeper.
func NewKeeper() *Keeper { return &Keeper{streams: map[string]*Stream{}} }

// Stream is what a server says on one stream, as it comes: the answer to a request, or what a session's client listens to.
// All of its state is guarded by its keeper's lock.
type Stream struct {
	keeper  *Keeper
	owner   string
	name    string
	listens bool // it has no answer, and no end but Drop

	events   [][]byte // the last ones, with their ids
	count    int      // of all events: each one's number is how many there were with it
	size     int
	answered bool // the last event is the answer
	ended    bool
	taken    int           // how often it was taken up
	followed int           // the last of those who had it to its end, counted so
	sent     int           // the number of the last event that anybody was given
	read     bool          // it has a Reader, which is waited for
	paused   bool          // nothing comes for now
	news     chan struct{} // closed at the next change
}

// Begin begins to keep an owner's stream under a name that no other has.
func (k *Keeper) Begin(owner, name string) *Stream {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &Stream{keeper: k, owner: owner, name: name, news: make(chan struct{})}
	k.streams[name] = s
	return s
}

// Find returns the stream of which an event's id tells, and the event's number. The stream is nil where it is not kept.
func (k *Keeper) Find(id string) (name string, after int, s *Stream, ok bool) {
	dot := strings.LastIndexByte(id, '.')
	if dot < 0 {
		return "", 0, nil, false
	}
	after, err := strconv.Atoi(id[dot+1:])
	if err != nil || after < 0 || strconv.Itoa(after) != id[dot+1:] {
		return "", 0, nil, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return id[:dot], after, k.streams[id[:dot]], true
}

// Add returns an event, which has no id, with one. Answer tells whether it is what the request waits for.
func (s *Stream) Add(event []byte, answer bool) []byte {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	out := fmt.Appendf(make([]byte, 0, len(event)+len(s.name)+16), "id: %s.%d\n%s", s.name, s.count+1, event)
	s.answered = answer
	s.add(out)
	return out
}

// add keeps an event as it goes out; the caller holds the keeper's lock.
func (s *Stream) add(out []byte) {
	s.count++
	if s.keeper.streams[s.name] != s {
		return // it was dropped
	}
	s.events, s.size = append(s.events, out), s.size+len(out)
	s.keeper.size += len(out)
	s.bound()
	s.changed()
}

// bound keeps to the bounds; the caller holds the keeper's lock.
func (s *Stream) bound() {
	k := s.keeper
	for s.size > maxStream && s.mayDrop() {
		s.dropFirst()
	}
	for k.size > maxAll && len(k.ended) > 0 {
		k.drop(k.ended[0])
	}
	for k.size > maxAll && s.mayDrop() {
		s.dropFirst()
	}
}

// mayDrop tells whether the first event that is kept may go: not where it is on its way to a Reader.
func (s *Stream) mayDrop() bool {
	return len(s.events) > 0 && (!s.read || s.count-len(s.events) < s.sent)
}

func (s *Stream) dropFirst() {
	s.size -= len(s.events[0])
	s.keeper.size -= len(s.events[0])
	s.events[0] = nil
	s.events = s.events[1:]
}

func (s *Stream) changed() {
	close(s.news)
	s.news = make(chan struct{})
}

// End notes that nothing more comes. What was kept is kept for some minutes.
func (s *Stream) End() {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.ended || k.streams[s.name] != s {
		return
	}
	s.ended = true
	k.ended = append(k.ended, s)
	s.changed()
	time.AfterFunc(Kept, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.drop(s)
	})
}

// Drop keeps a stream no more: its server names the events itself.
func (s *Stream) Drop() {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.keeper.drop(s)
}

// Forget keeps no stream of an owner any more, who does not come back.
func (k *Keeper) Forget(owner string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.streams {
		if s.owner == owner {
			k.drop(s)
		}
	}
}

// drop forgets a stream, whose followers are told that it is lost.
func (k *Keeper) drop(s *Stream) {
	if k.streams[s.name] != s {
		return
	}
	delete(k.streams, s.name)
	k.ended = slices.DeleteFunc(k.ended, func(e *Stream) bool { return e == s })
	k.size -= s.size
	s.events, s.size, s.ended = nil, 0, true
	s.changed()
}

// Taken tells whether a client took the stream up: what comes is for that one.
func (s *Stream) Taken() bool {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	return s.taken > 0
}

// Follow writes the events after the one with the number, as far as they are kept, and then what comes, up to the stream's
// end. It returns ErrLost where the answer is not among them.
func (s *Stream) Follow(ctx context.Context, after int, write func(event []byte) error) error {
	turn := s.take()
	for {
		next, news, err := s.next(turn, &after)
		if err != nil {
			return err
		}
		for _, event := range next {
			if err := write(event); err != nil {
				return err
			}
		}
		switch {
		case next != nil:
		case news == nil:
			s.complete(turn)
			return nil
		default:
			select {
			case <-news:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

func (s *Stream) take() (turn int) {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	s.taken++
	s.changed()
	return s.taken
}

// next returns the events after a number, which it moves behind them, or what is closed when there are more. Both are nil
// where the stream is over.
func (s *Stream) next(turn int, after *int) (events [][]byte, news <-chan struct{}, err error) {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	first := s.count - len(s.events) // the number of the event before those that are kept
	switch {
	case s.taken != turn:
		return nil, nil, errTaken
	case *after > s.count:
		return nil, nil, ErrLost // nobody was given this number
	case *after < s.count && len(s.events) > 0:
		events = slices.Clone(s.events[max(0, *after-first):])
		*after, s.sent = s.count, s.count
		if s.read {
			s.changed() // there is room
		}
		return events, nil, nil
	case s.listens && (s.ended || s.paused):
		return nil, nil, nil
	case !s.ended:
		return nil, s.news, nil
	case !s.answered || *after < s.count:
		return nil, nil, ErrLost
	}
	return nil, nil, nil
}
