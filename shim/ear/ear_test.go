package ear

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
	"mcpgateway/shim/replay"
	"mcpgateway/shim/session"
)

// speaker is a server with one session, whose listening stream the test speaks on.
type speaker struct {
	t     *testing.T
	ears  *Ears
	named atomic.Bool
	asked int
	out   *io.PipeWriter
	ended context.Context
}

var me = session.Name{1}

func newSpeaker(t *testing.T) *speaker {
	s := &speaker{t: t}
	s.ears = New(replay.NewKeeper(), time.Hour, &s.named)
	return s
}

func (s *speaker) ask(ctx context.Context) (*http.Response, error) {
	in, out := io.Pipe()
	s.asked, s.out, s.ended = s.asked+1, out, ctx
	context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}, mcp.HeaderSession: {"inner"}}, Body: in}, nil
}

func (s *speaker) say(texts ...string) {
	for _, text := range texts {
		_, _ = io.WriteString(s.out, "data: "+text+"\n\n")
	}
	synctest.Wait()
}

// hearing is one listener.
type hearing struct {
	t      *testing.T
	body   io.ReadCloser
	events *mcp.EventReader
	cancel context.CancelCauseFunc
	last   string
}

func (s *speaker) listen(last string, primed bool) *hearing {
	s.t.Helper()
	ctx, cancel := context.WithCancelCause(s.t.Context())
	resp, err := s.ears.Listen(ctx, Listener{Session: me, Last: last, Primed: primed, Ask: s.ask})
	if err != nil || resp.StatusCode != 200 || !mcp.IsStream(resp.Header) || resp.Header.Get(mcp.HeaderSession) != "" {
		s.t.Fatalf("%+v, %v", resp, err)
	}
	return &hearing{t: s.t, body: resp.Body, events: mcp.NewEventReader(bufio.NewReader(resp.Body), 1<<26), cancel: cancel, last: last}
}

// next is the data of the next event.
func (h *hearing) next() string {
	h.t.Helper()
	e, err := h.events.Next()
	if err != nil {
		h.t.Fatalf("the stream ended: %v", err)
	}
	if e.ID != nil {
		h.last = string(e.ID)
	}
	return string(e.Data)
}

func (h *hearing) expect(texts ...string) {
	h.t.Helper()
	for _, want := range texts {
		if got := h.next(); got != want {
			h.t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func (h *hearing) ends(want error) {
	h.t.Helper()
	if e, err := h.events.Next(); !errors.Is(err, want) {
		h.t.Errorf("it ends with %q, %v, want %v", e.Raw, err, want)
	}
}

func (h *hearing) leave() {
	h.cancel(nil)
	_ = h.body.Close()
}

// What the server says while nobody is there is heard by who comes next, once and in order: with the id of the last event that
// it has, or without, and whatever was on its way when the connection was lost.
func TestNothingIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		h := s.listen("", true)
		h.expect("") // primed
		primed := h.last
		if !strings.HasPrefix(primed, mcp.ListenPrefix) {
			t.Fatalf("primed by %q", primed)
		}
		s.say("1", "2")
		h.expect("1")
		at := h.last
		h.leave()
		s.say("3", "4")
		h = s.listen(at, true)
		h.expect("2", "3", "4")
		h.leave()
		s.say("5")
		h = s.listen("", false)
		h.expect("5")
		h.leave()
		h = s.listen(primed, true)
		h.expect("1", "2", "3", "4", "5")
		s.say("6")
		h.expect("6")
		h.leave()
		time.Sleep(replay.Kept - time.Second)
		s.say("7")
		h = s.listen("l1.nobody's.7", true)
		h.expect("", "7") // it is told where it is now
		if s.asked != 1 {
			t.Errorf("the server was asked %d times", s.asked)
		}
		h.leave()
		time.Sleep(replay.Kept + time.Second)
		if s.ended.Err() == nil || len(s.ears.of) != 0 || s.ears.idle != 0 {
			t.Error("the server is heard for ever")
		}
		lost := h.last
		h = s.listen(lost, true)
		if h.expect(""); s.asked != 2 || h.last == lost {
			t.Errorf("the server was asked %d times, and the stream is %s", s.asked, h.last)
		}
		h.leave()
		time.Sleep(2 * replay.Kept)
	})
}

// The newest listener of a session hears it alone.
func TestNewestHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		older := s.listen("", false)
		s.say("1")
		older.expect("1")
		newer := s.listen("", false)
		s.say("2")
		newer.expect("2")
		if _, err := older.events.Next(); err == nil {
			t.Error("the older hears it, too")
		}
		older.leave() // late
		s.say("3")
		newer.expect("3")
		newer.leave()
		time.Sleep(2 * replay.Kept)
	})
}

// A stream that the server ended, or broke off, ends so for its listener; the next is made of another, and goes on behind what
// was not heard yet.
func TestServerEndsItsStream(t *testing.T) {
	broken := errors.New("broken")
	for _, cause := range []error{io.EOF, broken} {
		synctest.Test(t, func(t *testing.T) {
			s := newSpeaker(t)
			h := s.listen("", false)
			s.say("1", "2")
			h.expect("1")
			at := h.last
			_ = s.out.CloseWithError(cause)
			h.expect("2")
			h.ends(cause)
			h.leave()
			h = s.listen(at, false)
			s.say("3")
			if h.expect("2", "3"); s.asked != 2 {
				t.Errorf("asked %d times", s.asked)
			}
			h.leave()
			_ = s.out.CloseWithError(cause) // while nobody is there
			synctest.Wait()
			h = s.listen(h.last, false)
			s.say("4")
			h.expect("4")
			h.leave()
			time.Sleep(2 * replay.Kept)
		})
	}
}

// Where the shim itself has a session be heard anew, its gateway is told to come again.
func TestHeardAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		h := s.listen("", false)
		_, _ = io.WriteString(s.out, mcp.SilenceComment)
		if text, err := io.ReadAll(h.body); string(text) != mcp.SilenceComment || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		h.leave()
		time.Sleep(2 * replay.Kept)
	})
}

// A server that names its events is asked for those that were missed: its stream ends with its listener.
func TestNamedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		h := s.listen("", false)
		go func() { _, _ = io.WriteString(s.out, "id: e1\ndata: 1\n\n") }()
		if h.expect("1"); h.last != "e1" || !s.named.Load() {
			t.Errorf("it is named %q", h.last)
		}
		h.leave()
		if synctest.Wait(); s.ended.Err() == nil {
			t.Error("the server is heard by nobody")
		}
	})
}

// An answer that is no stream goes to who asked, and so does an error.
func TestNoStream(t *testing.T) {
	s := newSpeaker(t)
	resp, err := s.ears.Listen(t.Context(), Listener{Session: me, Ask: func(context.Context) (*http.Response, error) {
		return &http.Response{StatusCode: 405, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no"))}, nil
	}})
	if err != nil || resp.StatusCode != 405 {
		t.Fatalf("%+v, %v", resp, err)
	}
	if text, _ := io.ReadAll(resp.Body); string(text) != "no" || resp.Body.Close() != nil {
		t.Errorf("%q", text)
	}
	gone := errors.New("gone")
	if _, err := s.ears.Listen(t.Context(), Listener{Session: me, Ask: func(context.Context) (*http.Response, error) { return nil, gone }}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	s.ears.Close()
	if len(s.ears.of) != 0 {
		t.Error("it is kept")
	}
}

// Who leaves before the server answers has it asked no more; who waits for that asks next.
func TestLeavesBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := s.ears.Listen(ctx, Listener{Session: me, Ask: func(ctx context.Context) (*http.Response, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}})
			failed <- err
		}()
		synctest.Wait()
		hurried, hurry := context.WithCancel(t.Context())
		hurry()
		if _, err := s.ears.Listen(hurried, Listener{Session: me, Ask: s.ask}); !errors.Is(err, context.Canceled) {
			t.Errorf("who cannot wait: %v", err)
		}
		heard := make(chan *hearing)
		go func() { heard <- s.listen("", false) }()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		h := <-heard
		s.say("1")
		h.expect("1")
		h.leave()
		time.Sleep(2 * replay.Kept)
	})
}

// A session that its client ended is heard no more, and neither is any when nobody comes back; a listener who is there is
// told as ever.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		h := s.listen("", false)
		s.ears.End(me)
		s.ears.End(me)
		h.ends(io.EOF)
		synctest.Wait()
		if h.leave(); s.ended.Err() == nil {
			t.Error("the server is heard")
		}
		s.listen("", false).leave()
		h = s.listen("", false)
		s.ears.Close()
		s.say("1")
		h.expect("1")
		if h.leave(); s.ended.Err() == nil || len(s.ears.of) != 0 {
			t.Error("it is heard after the end")
		}
	})
}

// News come before all that the server says, and wait as all else does.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		resp, err := s.ears.Listen(t.Context(), Listener{Session: me, Ask: func(ctx context.Context) (*http.Response, error) {
			resp, err := s.ask(ctx)
			go s.say("0") // at once
			return resp, err
		}, News: func() [][]byte { return [][]byte{[]byte("data: new\n\n")} }})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // before it read any
		time.Sleep(time.Second)
		s.say("1")
		h := s.listen("", false)
		h.expect("new", "0", "1")
		h.leave()
		time.Sleep(2 * replay.Kept)
	})
}

// A listener that reads slowly misses nothing: the server waits for it. For nobody it does not wait, and of what does not fit
// the newest is kept.
func TestSlowListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeaker(t)
		h := s.listen("", false)
		long := strings.Repeat("x", 100<<10)
		const many = 50
		said := make(chan struct{})
		go func() {
			defer close(said)
			for n := range many {
				_, _ = fmt.Fprintf(s.out, "data: %d%s\n\n", n, long)
			}
		}()
		synctest.Wait()
		select {
		case <-said:
			t.Error("the server did not wait")
		default:
		}
		for n := range many {
			h.expect(fmt.Sprint(n) + long)
		}
		<-said
		huge := strings.Repeat("y", 3<<20)
		go func() { _, _ = io.WriteString(s.out, "data: "+huge+"\n\n") }()
		h.expect(huge)
		h.leave()
		for n := range many {
			_, _ = fmt.Fprintf(s.out, "data: %d%s\n\n", n, long)
		}
		synctest.Wait()
		h = s.listen("", false)
		if first := h.next(); first == "0"+long || !strings.HasSuffix(first, "x") {
			t.Errorf("the oldest was kept: %.10q", first)
		}
		for last := ""; last != fmt.Sprint(many-1)+long; {
			last = h.next()
		}
		h.leave()
		time.Sleep(2 * replay.Kept)
	})
}
