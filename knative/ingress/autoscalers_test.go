package ingress

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeQuestions is what the API says, and how often it was asked.
type fakeQuestions struct {
	mu    sync.Mutex
	state State
	err   error
	took  time.Duration
	asked int
}

func (f *fakeQuestions) ask(ctx context.Context, _ string) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	state, err := f.state, f.err
	select {
	case <-ctx.Done():
		return Asleep, ctx.Err()
	case <-time.After(f.took):
	}
	return state, err
}

func newFake(state State) (*fakeQuestions, *autoscalers, *bytes.Buffer) {
	f, log := &fakeQuestions{state: state}, &bytes.Buffer{}
	return f, &autoscalers{ask: f.ask, log: slog.New(slog.NewTextHandler(log, nil)), known: map[string]answer{}, swept: time.Now()}, log
}

// want asks and compares; n is how often the API was asked in all.
func want(t *testing.T, f *fakeQuestions, a *autoscalers, trust time.Duration, state State, known bool, n int) {
	t.Helper()
	got, err := a.state(t.Context(), "a", trust)
	if got != state || (err == nil) != known || f.asked != n {
		t.Errorf("%d, %v, asked %d times; want %d, known %v, %d times", got, err, f.asked, state, known, n)
	}
}

func TestAnswersHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, _ := newFake(Awake)
		want(t, f, a, Fresh, Awake, true, 1)
		f.state = Asleep
		time.Sleep(Fresh - 1)
		want(t, f, a, time.Second, Awake, true, 1)
		time.Sleep(time.Nanosecond)
		want(t, f, a, Fresh, Asleep, true, 2)
		f.state = Starting
		time.Sleep(time.Second)
		want(t, f, a, Fresh, Asleep, true, 2)
		want(t, f, a, time.Second, Starting, true, 3) // who cannot wait does not believe it as long
		time.Sleep(Fresh)
		want(t, f, a, time.Hour, Starting, true, 4) // and nobody longer
	})
}

func TestAnswersWithoutTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, log := newFake(Awake)
		f.err = errors.New("down")
		want(t, f, a, Fresh, Asleep, false, 1)
		time.Sleep(time.Second)
		want(t, f, a, time.Second, Asleep, false, 1) // it is left alone
		time.Sleep(Fresh)
		f.err = nil
		want(t, f, a, Fresh, Awake, true, 2)
		f.err = errors.New("down again")
		n := 2
		for age := Fresh; age < stale; age += Fresh {
			time.Sleep(Fresh)
			n++
			want(t, f, a, Fresh, Awake, true, n)
		}
		time.Sleep(Fresh)
		want(t, f, a, Fresh, Asleep, false, n+1)
		if got := strings.Count(log.String(), "level=WARN"); got != 2 {
			t.Errorf("%d warnings of two times that it was gone:\n%s", got, log)
		}
	})
}

func TestQuestionsAreAskedAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, _ := newFake(Awake)
		f.took = time.Second
		impatient, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() { // the first, who leaves
			if _, err := a.state(impatient, "a", Fresh); !errors.Is(err, context.Canceled) {
				t.Errorf("who left was told %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			callers.Go(func() {
				if got, err := a.state(t.Context(), "a", Fresh); got != Awake || err != nil {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
		leave()
		callers.Wait()
		if f.asked != 1 {
			t.Errorf("asked %d times", f.asked)
		}
		f.took = time.Hour
		began := time.Now()
		if _, err := a.state(t.Context(), "b", Fresh); err == nil || time.Since(began) != patience {
			t.Errorf("an API that does not answer: %v after %v", err, time.Since(began))
		}
	})
}

// A server that has just answered is awake, whatever the cluster knew when it was asked before.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a, _ := newFake(Asleep)
		want(t, f, a, Fresh, Asleep, true, 1)
		a.heard("a")
		want(t, f, a, Fresh, Awake, true, 1)
		time.Sleep(Fresh)
		f.took = time.Second
		go func() {
			time.Sleep(f.took / 2)
			a.heard("a")
		}()
		want(t, f, a, Fresh, Awake, true, 2)
		time.Sleep(Fresh)
		want(t, f, a, Fresh, Asleep, true, 3)
	})
}

func TestServicesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := newFake(Awake)
		for range 100 {
			a.heard("a")
			_, _ = a.state(t.Context(), "b", Fresh)
			time.Sleep(stale / 4)
		}
		a.heard("c")
		time.Sleep(stale)
		a.heard("d")
		if _, ok := a.known["d"]; !ok || len(a.known) != 1 {
			t.Errorf("known: %v", a.known)
		}
	})
}
