// Package ear goes on listening to a server for sessions whose clients come and go: a listener of a gateway that polls is
// there for moments only, and one that lost its connection wants what it missed (MCP 2025-11-25, transports, "resumability
// and redelivery"). What the server says while nobody is there waits for the next, within the bounds of package replay.
//
// It looks into no message, and decides nothing about whose a session is.
package ear

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/replay"
	"mcpgateway/shim/session"
)

const (
	maxEvent = 32 << 20 // bytes of one server-sent event
	maxEars  = 2000     // that nobody listens with; the server is asked anew for who comes back to one too many
)

// Ears are those of one server, one for each session that was listened to lately.
type Ears struct {
	streams *replay.Keeper
	longest time.Duration
	named   *atomic.Bool

	mu     sync.Mutex
	of     map[session.Name]*ear
	idle   int  // that nobody listens with
	closed bool // nobody comes back
}

// New makes Ears. One stream of the server's is listened to for longest at most. Named is set once the server names an event
// itself: then it is to be asked for what was missed.
func New(streams *replay.Keeper, longest time.Duration, named *atomic.Bool) *Ears {
	return &Ears{streams: streams, longest: longest, named: named, of: map[session.Name]*ear{}}
}

// ear listens for one session. Its stream outlives those of the server's that it is made of.
type ear struct {
	all    *Ears
	name   session.Name
	stream *replay.Stream
	asking chan struct{} // holds one token: whoever asks the server has it

	// Guarded by all.mu.
	listeners int
	heard     http.Header // of the server's stream; nil where there is none
	end       context.CancelFunc
	ending    error // why the last one ended; io.EOF: the server ended it
	forget    *time.Timer
}

// Listener is one who comes to listen.
type Listener struct {
	Session session.Name
	Last    string                                            // id of the last event that it has; may be empty
	Primed  bool                                              // it is to be told where it is, by an event without data
	Ask     func(ctx context.Context) (*http.Response, error) // asks the server for its stream
	News    func() (events [][]byte)                          // what it is told first, once the server is heard
}

// errAgain says that the server knows the session again.
var errAgain = errors.New("there is another stream now")

// Listen returns what the server says in a session, from where the listener was. An answer of the server that is no stream is
// returned as it is. The answer ends with ctx, and must be closed.
func (l *Ears) Listen(ctx context.Context, who Listener) (*http.Response, error) {
	e := l.join(who.Session)
	resp, err := e.ask(ctx, who)
	if err != nil || resp != nil {
		e.leave()
		return resp, err
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: e.head(),
		Body: &leg{ear: e, reader: e.stream.Read(ctx, who.Last, who.Primed)}}, nil
}

// head is that of the server's stream, as far as it holds for all who listen.
func (e *ear) head() http.Header {
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	h := e.heard.Clone()
	if h == nil { // it ended just now
		h = http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store"}}
	}
	delete(h, mcp.HeaderSession)
	return h
}

// End ends what is heard in a session: its client ended it.
func (l *Ears) End(of session.Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.of[of]; e != nil {
		e.close()
	}
}

// Close ends what nobody listens to, and then each ear with its listener.
func (l *Ears) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, e := range l.of {
		if e.listeners == 0 {
			e.close()
		}
	}
}

// join returns the ear of a session, for one who listens until leave.
func (l *Ears) join(of session.Name) *ear {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.of[of]
	if e == nil {
		e = &ear{all: l, name: of, stream: l.streams.Listen(string(of[:]), mcp.ListenPrefix+rand.Text()), asking: make(chan struct{}, 1)}
		l.of[of] = e
	} else if e.listeners == 0 {
		e.forget.Stop()
		l.idle--
	}
	e.listeners++
	return e
}

// leave notes that one listens no more. For the next what comes is kept for as long as what is kept of calls.
func (e *ear) leave() {
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	if e.listeners--; e.listeners > 0 || e.all.of[e.name] != e {
		return
	}
	e.all.idle++
	if e.forget == nil {
		e.forget = time.AfterFunc(replay.Kept, e.forgotten)
	} else {
		e.forget.Reset(replay.Kept)
	}
	if e.all.closed || e.all.named.Load() || e.all.idle > maxEars {
		e.close()
	}
}

func (e *ear) forgotten() {
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	if e.listeners == 0 {
		e.close()
	}
}

// close ends an ear; the caller holds all.mu.
func (e *ear) close() {
	if e.all.of[e.name] != e {
		return
	}
	delete(e.all.of, e.name)
	if e.listeners == 0 {
		e.forget.Stop()
		e.all.idle--
	}
	if e.heard != nil {
		e.end()
	}
	e.ending = io.EOF
	e.stream.Drop()
}

// ask asks the server for its stream, unless it is heard. An answer that is none is returned.
func (e *ear) ask(ctx context.Context, who Listener) (*http.Response, error) {
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if e.hears() {
		e.tell(who)
		return nil, nil
	}
	own, end := context.WithTimeout(context.WithoutCancel(ctx), e.all.longest)
	follow := context.AfterFunc(ctx, end)
	resp, err := who.Ask(own)
	if err != nil {
		end()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || !mcp.IsStream(resp.Header) {
		resp.Body = &closing{resp.Body, end}
		return resp, nil
	}
	if !follow() {
		_ = resp.Body.Close()
		return nil, context.Cause(ctx)
	}
	e.tell(who) // before the server says anything
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	if e.all.of[e.name] != e { // its client ended the session meanwhile
		end()
		_ = resp.Body.Close()
		return nil, nil
	}
	e.heard, e.end = resp.Header, end
	e.stream.Resume()
	go e.hear(own, resp)
	return nil, nil
}

// tell has a listener be told its news first.
func (e *ear) tell(who Listener) {
	if who.News == nil {
		return
	}
	for _, event := range who.News() {
		e.stream.Add(event, false)
	}
}

func (e *ear) hears() bool {
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	return e.heard != nil
}

// hear keeps what the server says, until it ends its stream or the ear is closed.
func (e *ear) hear(ctx context.Context, resp *http.Response) {
	events := mcp.NewEventReader(resp.Body, maxEvent)
	err := e.stream.Room(ctx)
	for err == nil {
		var event mcp.Event
		if event, err = events.Next(); err == nil {
			err = e.keep(ctx, &event)
		}
	}
	_ = resp.Body.Close()
	e.all.mu.Lock()
	defer e.all.mu.Unlock()
	e.end()
	e.heard = nil
	if e.all.of[e.name] == e {
		e.ending = err
	}
	e.stream.Pause()
}

// keep keeps one event.
func (e *ear) keep(ctx context.Context, event *mcp.Event) error {
	switch {
	case string(event.Raw) == mcp.SilenceComment:
		return errAgain
	case event.ID != nil:
		e.all.named.Store(true)
		e.stream.Pass(event.Raw)
	case event.Blank():
		e.stream.Pass(event.Raw)
	default:
		e.stream.Add(event.Unmarked(), false)
	}
	return e.stream.Room(ctx)
}
