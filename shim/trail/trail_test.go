package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/audit/spool"
	"mcpgateway/internal/logtest"
)

// receiver is a sink in memory.
type receiver struct {
	mu      sync.Mutex
	answer  func(attempt int) error // nil: takes everything
	keys    map[string]bool
	ids     []string
	times   []time.Time // of attempts
	sizes   []int
	release chan struct{} // where not nil, an attempt waits for a word
}

func (r *receiver) Send(ctx context.Context, key string, records [][]byte) error {
	if r.release != nil {
		select {
		case <-r.release:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times, r.sizes = append(r.times, time.Now()), append(r.sizes, len(records))
	if r.answer != nil {
		if err := r.answer(len(r.times)); err != nil {
			return err
		}
	}
	if r.keys == nil {
		r.keys = map[string]bool{}
	}
	if !r.keys[key] {
		r.ids = append(r.ids, idsOf(records)...)
	}
	r.keys[key] = true
	return nil
}

func (r *receiver) set(answer func(int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...)
}

func idsOf(records [][]byte) (ids []string) {
	for _, rec := range records {
		ids = append(ids, idOf(rec))
	}
	return ids
}

// fixture is a Trail with all it needs.
type fixture struct {
	*Trail
	t      *testing.T
	config Config
	sink   *receiver
	second logtest.Log
	log    logtest.Log
	n      int
}

const folderBytes = 1 << 20

func start(t *testing.T, folder string, r *receiver, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, sink: r}
	own, abandoned, err := spool.OpenShared(spool.Config{Folder: folder, MaxBytes: folderBytes}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.config = Config{Sink: r, Spool: own, Abandoned: abandoned, Second: &f.second, Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
		Interval: 5 * time.Second, Records: 1000, Patience: 10 * time.Second, Backoff: 250 * time.Millisecond}
	if change != nil {
		change(&f.config)
	}
	if f.Trail, err = New(f.config); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) add(n int) {
	f.t.Helper()
	for range n {
		if err := f.Write([]audit.Record{{ID: fmt.Sprintf("%05d", f.n)}}); err != nil {
			f.t.Error(err)
		}
		f.n++
	}
}

func (f *fixture) close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f.Close(ctx)
}

// want holds what arrived to n records in a row, each once.
func (f *fixture) want(n int) {
	f.t.Helper()
	got := f.sink.got()
	if len(got) != n {
		f.t.Errorf("%d records arrived, want %d", len(got), n)
	}
	for i, id := range got {
		if id != fmt.Sprintf("%05d", i) {
			f.t.Errorf("record %s arrived as number %d", id, i)
			return
		}
	}
}

func down(int) error { return errors.New("no route to host") }

// Records wait for a thousand, or five seconds.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, t.TempDir(), &receiver{}, nil)
		f.add(1500)
		synctest.Wait()
		f.want(1000)
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		f.want(1000)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		f.want(1500)
		f.close(time.Second)
		if len(f.sink.sizes) != 2 || f.second.String() != "" || f.log.String() != "" {
			t.Errorf("batches %v, second sink %q, log %q", f.sink.sizes, f.second.String(), f.log.String())
		}
	})
}

// A sink that is down for a minute gets everything after it, and is asked ever more seldom until then.
func TestDownForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, t.TempDir(), &receiver{answer: down}, nil)
		for range 60 {
			f.add(20)
			time.Sleep(time.Second)
		}
		if n := len(f.sink.times); n < 5 || n > 12 {
			t.Errorf("%d attempts in a minute", n)
		}
		for i := 2; i < len(f.sink.times); i++ {
			if gap := f.sink.times[i].Sub(f.sink.times[i-1]); gap > maxBackoff {
				t.Errorf("attempt %d came %v after the one before", i, gap)
			}
		}
		if err := f.Available(); err == nil {
			t.Error("the sink counts as up")
		}
		f.sink.set(nil)
		time.Sleep(maxBackoff + 6*time.Second)
		synctest.Wait()
		f.want(1200)
		if err := f.Available(); err != nil {
			t.Errorf("the sink counts as down: %v", err)
		}
		if n := strings.Count(f.log.String(), "takes no records"); n != 1 {
			t.Errorf("said %d times that the sink is down", n)
		}
		f.close(time.Second)
	})
}

// What the sink stored and did not answer is sent again under the same key.
func TestAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		lost := false
		mute := &muted{receiver: r, lose: func() bool { lost = !lost; return lost }}
		f := start(t, t.TempDir(), r, func(c *Config) { c.Sink = mute })
		f.add(3000)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		f.want(3000)
		if len(r.times) != 6 {
			t.Errorf("%d attempts", len(r.times))
		}
		f.close(time.Second)
	})
}

// muted takes everything, and does not always say so.
type muted struct {
	*receiver
	lose func() bool
}

func (m *muted) Send(ctx context.Context, key string, records [][]byte) error {
	err := m.receiver.Send(ctx, key, records)
	if m.lose() {
		return io.ErrUnexpectedEOF
	}
	return err
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(n int) error {
			if n == 1 {
				return &sink.Failure{RetryAfter: 40 * time.Second, Cause: errors.New("busy")}
			}
			return nil
		}}
		f := start(t, t.TempDir(), r, nil)
		f.add(1000)
		time.Sleep(39 * time.Second)
		synctest.Wait()
		f.want(0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.want(1000)
		f.close(time.Second)
	})
}

// What the sink will never take goes to the second one, and does not hold up the rest.
func TestFinalRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(n int) error {
			if n == 1 {
				return &sink.Failure{Final: true, Cause: errors.New("the sink answered 400")}
			}
			return nil
		}}
		f := start(t, t.TempDir(), r, nil)
		f.add(1000)
		synctest.Wait()
		f.add(1000)
		synctest.Wait()
		if got := r.got(); len(got) != 1000 || got[0] != "01000" {
			t.Errorf("%d records arrived", len(got))
		}
		f.close(time.Second)
		if n := strings.Count(f.second.String(), "\n"); n != 1000 {
			t.Errorf("the second sink has %d records", n)
		}
		if log := f.log.String(); !strings.Contains(log, "records=1000 from=00000 to=00999") || !strings.Contains(log, "400") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answer = func(n int) error {
			if r.sizes[n-1] > 300 {
				return &sink.Failure{TooLarge: true, Cause: errors.New("the sink answered 413")}
			}
			return nil
		}
		f := start(t, t.TempDir(), r, nil)
		f.add(1000)
		time.Sleep(time.Minute)
		synctest.Wait()
		f.want(1000)
		f.close(time.Second)
	})
}

// What does not fit into the spool goes to the second sink at once; where there is none, it is lost, and named.
func TestOverflow(t *testing.T) {
	for _, second := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := start(t, t.TempDir(), &receiver{answer: down}, func(c *Config) {
				if !second {
					c.Second = nil
				}
			})
			var lost int
			long := strings.Repeat("x", 1000)
			for i := range 2000 {
				if err := f.Write([]audit.Record{{ID: fmt.Sprintf("%05d", i), Error: long}}); err != nil {
					lost++
				}
			}
			f.sink.set(nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			kept, diverted := len(f.sink.got()), strings.Count(f.second.String(), "\n")
			f.close(time.Second)
			if kept < 500 || kept+diverted+lost != 2000 || second == (lost > 0) || !second == (diverted > 0) {
				t.Errorf("second sink %v: %d arrived, %d went to it, %d lost", second, kept, diverted, lost)
			}
			what := map[bool]string{true: "audit records went to the second sink", false: "audit records lost"}[second]
			if log := f.log.String(); !strings.Contains(log, fmt.Sprintf("%q records=%d from=%05d to=01999", what, 2000-kept, kept)) {
				t.Errorf("log: %.300s", log)
			}
		})
	}
}

// With the sink down across a stop, the second sink has what is left, once, and the sink gets it from the next process.
func TestStopAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		r := &receiver{answer: down}
		f := start(t, folder, r, nil)
		f.add(700)
		began := time.Now()
		f.close(3 * time.Second)
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("stopping took %v", took)
		}
		g := start(t, folder, r, nil)
		g.n = 700
		g.add(50)
		g.close(3 * time.Second)
		for _, c := range []struct {
			*fixture
			n int
		}{{f, 700}, {g, 50}} {
			if n := strings.Count(c.second.String(), "\n"); n != c.n {
				t.Errorf("the second sink got %d records, want %d", n, c.n)
			}
		}
		r.set(nil)
		h := start(t, folder, r, nil)
		synctest.Wait()
		h.want(750)
		h.close(time.Second)
		if h.second.String() != "" {
			t.Error("delivered records went to the second sink")
		}
	})
}

// A standard output that nobody reads does not keep a shim from ending.
func TestNobodyReadsTheSecondSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		f := start(t, t.TempDir(), &receiver{answer: down}, func(c *Config) { c.Second = out })
		f.add(10)
		began := time.Now()
		f.close(time.Second)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stopping took %v", took)
		}
		_ = in.Close()
		synctest.Wait()
	})
}

func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{release: make(chan struct{})}
		f := start(t, t.TempDir(), r, nil)
		answered := make(chan error, 10)
		confirm := func(id string) { answered <- f.Confirm([]audit.Record{{ID: id}}) }
		go confirm("00000")
		synctest.Wait()
		for i := 1; i < 5; i++ {
			go confirm(fmt.Sprintf("%05d", i))
			synctest.Wait()
		}
		if len(answered) > 0 {
			t.Fatal("answered before the sink did")
		}
		r.release <- struct{}{}
		synctest.Wait()
		if len(answered) != 1 {
			t.Errorf("%d are answered with the first batch", len(answered))
		}
		r.release <- struct{}{}
		synctest.Wait()
		for range 5 {
			if err := <-answered; err != nil {
				t.Error(err)
			}
		}
		f.want(5)
		if len(r.sizes) != 2 || r.sizes[1] != 4 {
			t.Errorf("batches %v: who waits together is sent together", r.sizes)
		}
		// A sink that does not answer is known as down, until it answers.
		go confirm("00005")
		time.Sleep(f.config.Patience + time.Second)
		synctest.Wait()
		if err := <-answered; err == nil || f.Available() == nil {
			t.Errorf("%v, %v", err, f.Available())
		}
		r.release <- struct{}{}
		synctest.Wait()
		if err := f.Available(); err != nil {
			t.Error(err)
		}
		f.want(6)
		f.close(time.Second)
	})
}

func TestConfirmNeedsASink(t *testing.T) {
	var out bytes.Buffer
	f := Lines(&out)
	if err := f.Confirm([]audit.Record{{ID: "a"}}); err == nil || f.Available() == nil {
		t.Errorf("%v, %v", err, f.Available())
	}
	var r audit.Record
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.ID != "a" {
		t.Errorf("%s", out.String())
	}
}

func TestStartIsColdUntilSomethingWasAnswered(t *testing.T) {
	f := Lines(io.Discard)
	for range 2 { // who waits for the same start
		if f.Start() != audit.Cold {
			t.Error("warm before anything was answered")
		}
	}
	f.Answered()
	if f.Start() != audit.Warm {
		t.Error("cold after an answer")
	}
}

func TestNewRefuses(t *testing.T) {
	own, err := spool.Open(spool.Config{Folder: t.TempDir(), MaxBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	whole := Config{Sink: &receiver{}, Spool: own, Logger: slog.Default(), Interval: 1, Records: 1, Patience: 1, Backoff: 1}
	for name, change := range map[string]func(*Config){
		"nothing": func(c *Config) { *c = Config{} }, "spool": func(c *Config) { c.Spool = nil }, "logger": func(c *Config) { c.Logger = nil },
		"interval": func(c *Config) { c.Interval = 0 }, "records": func(c *Config) { c.Records = 0 },
		"patience": func(c *Config) { c.Patience = 0 }, "backoff": func(c *Config) { c.Backoff = 0 },
	} {
		c := whole
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("without %s it was taken", name)
		}
	}
}
