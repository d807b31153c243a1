package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/mcp"
)

// customer is one client in one session: it calls, loses connections, and takes streams up.
type customer struct {
	w      *world
	random *rand.Rand
	name   string
	sealed string
}

// outcome is what a call came to, in all streams that it had.
type outcome struct {
	text       string
	began, end time.Time
	events     int      // that there are before the reply
	seen       []string // those that arrived
	replies    int      // that arrived
	errors     int      // that arrived
	statuses   []int
	cancelled  bool // by the client
	document   bool // it is no stream
	unknown    bool // nothing arrived by which the stream could be taken up
}

func (c *customer) initialize() {
	l := &line{header: http.Header{}, left: -1}
	c.w.send(l, context.Background(), http.MethodPost, "", "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	if c.sealed = l.header.Get(mcp.HeaderSession); c.sealed == "" {
		c.w.t.Fatalf("no session began: %d %s", l.status, &l.got)
	}
	c.w.send(&line{header: http.Header{}, left: -1}, context.Background(), http.MethodPost, c.sealed, "", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

// call makes a call, and follows it to its end over as many connections as that takes.
func (c *customer) call(n int) outcome {
	o := outcome{text: fmt.Sprintf("%s-%d", c.name, n), began: time.Now()}
	o.events = c.random.IntN(5)
	pause := time.Duration(c.random.IntN(2000)) * time.Millisecond
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"tools/call","params":{"name":"a","arguments":{"text":%q,"events":%d,"pause":%d,"json":%v}}}`,
		o.text, o.text, o.events, pause, c.random.IntN(4) == 0)
	method, last := http.MethodPost, ""
	for try := 0; ; try++ {
		l := &line{header: http.Header{}, left: -1}
		if try < 3 && c.random.IntN(2) == 0 {
			l.left = c.random.IntN(6)
		}
		if method == http.MethodPost && c.random.IntN(10) == 0 {
			o.cancelled = true
			time.AfterFunc(time.Duration(c.random.IntN(3000))*time.Millisecond, func() { c.cancel(o.text) })
		}
		ctx, cancel := context.WithCancel(context.Background())
		if c.random.IntN(6) == 0 { // it leaves by itself
			time.AfterFunc(time.Duration(c.random.IntN(4000))*time.Millisecond, cancel)
		}
		var beside sync.WaitGroup
		var more []*line
		if method == http.MethodPost && c.random.IntN(8) == 0 { // it takes the stream up while it still has it, and once more
			more = []*line{{header: http.Header{}, left: -1}, {header: http.Header{}, left: -1}}
			beside.Go(func() { c.impatient(l, more) })
		}
		cut := c.w.send(l, ctx, method, c.sealed, last, body)
		cancel()
		beside.Wait()
		o.read(l, &last)
		for _, l := range more {
			o.read(l, &last)
		}
		if o.replies+o.errors > 0 || !cut && l.left != 0 && more == nil && method == http.MethodGet {
			break
		}
		if last == "" {
			o.unknown = true
			break
		}
		if try > 6 {
			break
		}
		method, body = http.MethodGet, ""
		time.Sleep(time.Duration(c.random.IntN(3000)) * time.Millisecond)
	}
	o.end = time.Now()
	return o
}

// cancel tells the server that nobody waits for a call any more.
func (c *customer) cancel(id string) {
	c.w.send(&line{header: http.Header{}, left: -1}, context.Background(), http.MethodPost, c.sealed, "",
		fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%q}}`, id))
}

// impatient takes a stream up by the last id that came, while it has it on another line, and does so again. Never in the
// moment of an event: that may be on its way there.
func (c *customer) impatient(before *line, more []*line) {
	var o outcome
	var last string
	var following sync.WaitGroup
	for _, next := range more {
		time.Sleep(time.Second + time.Microsecond)
		before.mu.Lock()
		o.scan(before.got.String(), &last)
		before.mu.Unlock()
		if last == "" {
			break
		}
		id := last
		following.Go(func() { c.w.send(next, context.Background(), http.MethodGet, c.sealed, id, "") })
		before = next
	}
	following.Wait()
}

func (o *outcome) read(l *line, last *string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != 0 {
		o.statuses = append(o.statuses, l.status)
	}
	o.scan(l.got.String(), last)
}

// scan looks for answers, as documents and as events, and for the last id.
func (o *outcome) scan(text string, last *string) {
	take := func(data string) {
		var m struct {
			ID     string
			Result *struct{ Text string }
			Params struct{ Data string }
			Error  any
		}
		if json.Unmarshal([]byte(data), &m) != nil {
			return
		}
		if m.Params.Data != "" {
			o.seen = append(o.seen, m.Params.Data)
		}
		if m.Result != nil && m.ID == o.text && m.Result.Text == o.text {
			o.replies++
		} else if m.Result != nil {
			o.replies += 100 // another's
		}
		if m.Error != nil {
			o.errors++
		}
	}
	if strings.HasPrefix(text, "{") {
		o.document = true
		take(text)
		return
	}
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			*last = strings.TrimSpace(id)
		} else if data, ok := strings.CutPrefix(line, "data: "); ok {
			take(data)
		}
	}
}

// wrong is what must not be.
func (o *outcome) wrong(w *world) string {
	spared := !slices.ContainsFunc(w.disaster, func(t time.Time) bool { return !t.Before(o.began) && !t.After(o.end) })
	switch {
	case w.ran[o.text] > 1:
		return fmt.Sprintf("it ran %d times", w.ran[o.text])
	case len(slices.Compact(slices.Sorted(slices.Values(o.seen)))) < len(o.seen):
		return "an event is doubled"
	case spared && o.replies == 1 && len(o.statuses) > 0 && !o.document && len(o.seen) != o.events:
		return "an event is lost"
	case o.replies > 1:
		return fmt.Sprintf("%d replies", o.replies)
	case spared && !o.cancelled && o.replies+o.errors > 1: // else who asks again is told again that it is lost
		return fmt.Sprintf("%d replies and %d errors", o.replies, o.errors)
	case slices.Contains(o.statuses, http.StatusNotFound), slices.Contains(o.statuses, http.StatusBadRequest):
		return "the session or the stream is not known"
	case spared && !o.unknown && !o.cancelled && o.replies != 1:
		return fmt.Sprintf("no reply, but %d errors", o.errors)
	case !o.unknown && o.replies+o.errors == 0:
		return "it has no end"
	}
	return ""
}

// schedule is one life of a world, by a seed.
func schedule(t *testing.T, d desk, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // it is to be repeatable
		w := newWorld(t, d.rules)
		var customers sync.WaitGroup
		var mu sync.Mutex
		var all []outcome
		for n := range 2 {
			c := &customer{w: w, random: rand.New(rand.NewPCG(seed, uint64(n)+2)), name: string(rune('a' + n))} //nolint:gosec // it is to be repeatable
			customers.Go(func() {
				c.initialize()
				stop := c.listen(uint64(n)) //nolint:gosec // it is positive
				defer stop()
				for n := range 4 {
					o := c.call(n)
					mu.Lock()
					all = append(all, o)
					mu.Unlock()
					time.Sleep(time.Duration(c.random.IntN(2000)) * time.Millisecond)
				}
			})
		}
		time.Sleep(3 * time.Microsecond) // never in the moment of a call: a session that is lost as it begins again is lost
		for range random.IntN(6) {
			time.Sleep(time.Duration(500+random.IntN(4000)) * time.Millisecond)
			[]func(){w.sleep, w.sleep, w.next, w.rotate, w.forget}[random.IntN(5)]()
		}
		customers.Wait()
		for _, o := range all {
			if wrong := o.wrong(w); wrong != "" {
				t.Errorf("seed %d, call %s: %s; %+v, the lives ended at %v", seed, o.text, wrong, o, w.disaster)
			}
		}
		w.end()
		time.Sleep(time.Hour) // what is kept is forgotten
	})
}

func FuzzSchedule(f *testing.F) {
	d := newDesk(f)
	f.Add(uint64(44))
	f.Add(uint64(1816))
	// Of the seeds that TestSchedules can run one by one: TEST_SCHEDULES goes further.
	f.Fuzz(func(t *testing.T, seed uint64) { schedule(t, d, seed%(1<<15)) })
}

// Whatever happens to connections, server, shim and keys, and in what order: no call runs twice, no reply is doubled or another's,
// none is lost while its shim lives, and no session is.
func TestSchedules(t *testing.T) {
	d := newDesk(t)
	runs := 500
	if text := os.Getenv("TEST_SCHEDULES"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(runs) { //nolint:gosec // it is positive
		schedule(t, d, seed)
		if t.Failed() {
			return
		}
	}
}
