package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
)

// A reader that is too slow is given up: its write is cut off once, and nobody waits for it again.
func TestOutletGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cuts := 0
		o := newOutlet(nil, 2)
		o.cut = func() { cuts++ }
		for i := range queued + 2 {
			if start := time.Now(); !o.put(message{line: fmt.Append(nil, i)}, time.Minute) || time.Since(start) != 0 {
				t.Fatalf("no room for message %d", i)
			}
		}
		for i, want := range []time.Duration{time.Minute, 0} {
			start := time.Now()
			if o.put(message{}, time.Minute) || time.Since(start) != want || cuts != 1 {
				t.Errorf("attempt %d: waited %v, cut off %d times", i, time.Since(start), cuts)
			}
		}
		select {
		case <-o.left:
		default:
			t.Error("the reader is not told")
		}
		if rest := o.rest(); len(rest) != queued+2 || string(rest[0]) != "0" {
			t.Errorf("the rest is %q", rest)
		}
	})
}

// After the reader left its connection may be another's, and what comes then goes nowhere.
func TestOutletAfterReaderLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet(nil, 0)
		o.cut = func() { t.Error("another's connection was cut") }
		for range queued {
			o.put(message{}, 0)
		}
		put := make(chan bool)
		go func() { put <- o.put(message{}, time.Minute) }()
		synctest.Wait()
		if rest := o.rest(); len(rest) != queued && len(rest) != queued+1 {
			t.Errorf("%d messages are the rest", len(rest))
		} else if (<-put) != (len(rest) == queued+1) {
			t.Error("the message that waited was lost, or is there twice")
		}
		if o.put(message{}, time.Minute) || len(o.rest()) != 0 {
			t.Error("a message came after the rest")
		}
	})
}

// That holds at the very moment at which patience ends, too.
func TestOutletReaderLeavesAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			o := newOutlet(nil, 0)
			o.cut = func() {
				select {
				case <-o.left:
					t.Error("another's connection was cut")
				default:
				}
			}
			for range queued {
				o.put(message{}, 0)
			}
			go func() { time.Sleep(time.Minute); o.leave() }()
			o.put(message{}, time.Minute)
			synctest.Wait()
		}
	})
}

// Whenever its reader leaves, a message is in the rest or was refused, and nothing is forgotten in between.
func TestOutletLosesNothing(t *testing.T) {
	for i := range 500 {
		o := newOutlet(nil, 5000)
		taken := make(chan int)
		go func() {
			n := 0
			for o.put(message{}, time.Minute) {
				n++
			}
			taken <- n
		}()
		for len(o.messages) < i { // now at one moment, now at another
			runtime.Gosched()
		}
		rest := len(o.rest())
		if n := <-taken; n != rest || len(o.messages) != 0 {
			t.Fatalf("%d were taken, but %d are the rest", n, rest)
		}
	}
}

// deafWriter takes what is written, and fails to send it.
type deafWriter struct{ http.ResponseWriter }

func (deafWriter) FlushError() error { return errors.New("connection reset") }

// A small event waits in the server's buffer: that its reader is gone shows when it is sent.
func TestEventThatCannotBeSent(t *testing.T) {
	var e *mcp.Error
	if err := writeEvent(deafWriter{httptest.NewRecorder()}, []byte(`{}`)); !errors.As(err, &e) || e.Status != mcp.StatusClientLeft {
		t.Errorf("got %v, want a reader that left", err)
	}
}

// Who is given up while nothing is being written is told, and the child too.
func TestAnswerGivenUp(t *testing.T) {
	r := newRig(t, "plain", nil)
	p, err := r.bridge.starts.next(use{patience: patienceShared, stray: strayModern})
	if err != nil {
		t.Fatal(err)
	}
	m, err := mcp.ParseLabelled([]byte(call(`"slow"`, "hang", "", "")))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a := answer{w: w, from: newOutlet(w, 1), pipe: p, streams: true, clock: &clock{waiting: time.Minute}}
	x := &exchange{to: a.from, streams: true}
	if err := p.begin(t.Context(), &m, x); err != nil {
		t.Fatal(err)
	}
	a.open = []*exchange{x}
	for a.from.put(message{line: []byte(`{"n":1}`)}, 0) {
	}
	if err := a.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.Body.String(); strings.Count(got, `{"n":1}`) != queued+1 || !strings.Contains(got, `"id":"slow","error"`) {
		t.Errorf("it got %s", got)
	}
	eventually(t, "the child was told", func() bool {
		m, err := question(t.Context(), p, call("0", "cancelled", "", ""))
		return err == nil && strings.Contains(string(m.line), `"text":"1"`)
	})
}

// What the child answered before it ended still counts.
func TestLastAnswer(t *testing.T) {
	for range 500 {
		p := newPipe(&process{}, use{})
		w := httptest.NewRecorder()
		a := answer{w: w, from: newOutlet(w, 1), pipe: p, clock: &clock{waiting: time.Minute}}
		x := &exchange{to: a.from}
		a.open = []*exchange{x}
		go func() {
			a.from.put(message{line: []byte(`"answer"`), of: x}, time.Minute)
			close(p.ended)
		}()
		if err := a.send(t.Context()); err != nil || w.Body.String() != `"answer"` {
			t.Fatalf("got %q, %v", w.Body, err)
		}
	}
}

// Where a part of a batch was answered, and its caller takes no stream, the rest is told in the same array.
func TestBatchHalfAnswered(t *testing.T) {
	p := newPipe(&process{}, use{})
	p.reason = "it ended"
	w := httptest.NewRecorder()
	a := answer{w: w, from: newOutlet(w, 2), pipe: p, clock: &clock{waiting: time.Minute}, batch: true}
	for i := range 2 {
		x := &exchange{to: a.from, number: int64(i), id: fmt.Append(nil, i)}
		a.open = append(a.open, x)
	}
	a.from.put(message{line: []byte(`{"id":0,"result":{}}`), of: a.open[0]}, 0)
	close(p.ended)
	if err := a.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []struct {
		ID    int
		Error *struct{ Code int }
	}
	if json.Unmarshal(w.Body.Bytes(), &got) != nil || len(got) != 2 || got[0].Error != nil || got[1].ID != 1 || got[1].Error == nil || got[1].Error.Code != mcp.CodeUnavailable {
		t.Errorf("got %s", w.Body)
	}
}
