package hostile

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Bounds of what a row waits for. A busy machine is slow by seconds; what they catch has a time limit of its own, and
// those are longer.
const (
	atOnce = 6 * time.Second  // what waits for nothing
	soon   = 20 * time.Second // what starts or ends processes
)

// attempt is a row while it runs.
type attempt struct {
	*rig
	mu  sync.Mutex // for those who note what is wrong side by side
	row Row
}

func (a *attempt) saw(format string, args ...any) {
	a.row.Saw = append(a.row.Saw, fmt.Sprintf(format, args...))
}

func (a *attempt) wrong(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.row.Wrong = append(a.row.Wrong, fmt.Sprintf(format, args...))
}

// want is what an answer must be: either a result with a text, or an error with a code.
type want struct {
	status int
	result string // the text of the tool's result
	code   int    // of JSON-RPC; 0: no error
	says   string // a part of the error's message
	retry  bool   // it must have Retry-After
	within time.Duration
}

// expect notes an answer, and what is wrong with it.
func (a *attempt) expect(what string, got answer, w want) {
	a.saw("%s: %s", what, got)
	a.check(what, got, w)
}

// check is expect without a note.
func (a *attempt) check(what string, got answer, w want) {
	last := got.last()
	code, says := 0, ""
	if last.Error != nil {
		code, says = last.Error.Code, last.Error.Message
	}
	switch {
	case got.cut != nil:
		a.wrong("%s: the answer broke off: %v", what, got.cut)
	case got.status != w.status || code != w.code || !strings.Contains(says, w.says) || last.text() != w.result:
		a.wrong("%s: %s, want %d %d %q %q", what, got, w.status, w.code, w.says, w.result)
	case w.retry && got.header.Get("Retry-After") == "":
		a.wrong("%s: no Retry-After", what)
	case got.took > w.within:
		a.wrong("%s: it took %v, want %v at most", what, got.took.Round(time.Millisecond), w.within)
	}
}

// until waits for something, and notes that it did not come.
func (a *attempt) until(ctx context.Context, otherwise string, holds func() bool) time.Duration {
	began := time.Now()
	for !holds() {
		if time.Since(began) > soon || ctx.Err() != nil {
			a.wrong("%s after %v", otherwise, time.Since(began).Round(time.Millisecond))
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}
