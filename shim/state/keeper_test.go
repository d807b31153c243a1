package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/shim/session"
)

// memory is a store, of which tests count what is asked.
type memory struct {
	mu            sync.Mutex
	records       map[string]record
	reads, writes int
	down          error
	hang          bool // until whoever asks gives up
	lose          bool // the next answer to a write
}

type record struct {
	sealed  []byte
	version int
	expires time.Time
}

func newMemory() *memory { return &memory{records: map[string]record{}} }

func (m *memory) asked(ctx context.Context) error {
	if m.hang {
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return ctx.Err()
	}
	return m.down
}

func (m *memory) Get(ctx context.Context, name string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if err := m.asked(ctx); err != nil {
		return nil, "", err
	}
	r, ok := m.records[name]
	if !ok {
		return nil, "", nil
	}
	return r.sealed, strconv.Itoa(r.version), nil
}

func (m *memory) Put(ctx context.Context, name, replaced string, sealed []byte, expires time.Time) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if err := m.asked(ctx); err != nil {
		return "", err
	}
	r, ok := m.records[name]
	if ok != (replaced != "") || ok && strconv.Itoa(r.version) != replaced {
		return "", ErrConflict
	}
	m.records[name] = record{sealed, r.version + 1, expires}
	if m.lose {
		m.lose = false
		return "", errors.New("the connection broke")
	}
	return strconv.Itoa(r.version + 1), nil
}

func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// count returns how often it was asked since the last time.
func (m *memory) count() (reads, writes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reads, writes = m.reads, m.writes
	m.reads, m.writes = 0, 0
	return reads, writes
}

func newSealer(t testing.TB, server string, keys ...byte) *session.Sealer {
	t.Helper()
	var all [][]byte
	for _, k := range keys {
		all = append(all, bytes.Repeat([]byte{k}, session.KeySize))
	}
	s, err := session.NewSealer(server, all...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// life is a Keeper, and what it logged.
type life struct {
	*Keeper
	log *bytes.Buffer
}

func newLife(t testing.TB, store Store, number uint64) life {
	t.Helper()
	log := &bytes.Buffer{}
	k, err := New(Config{Store: store, Sealer: newSealer(t, "github", 1), Life: number, Observed: func(context.Context, string, error) {},
		Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return life{k, log}
}

var alice = Caller{"https://issuer.test", "alice"}

// begun is a session that began in a life.
func begun(n byte, life uint64) *session.Session {
	return &session.Session{Name: session.Name{n}, ID: "inner", Life: life, Opened: time.Now()}
}

func (l life) change(t testing.TB, s *session.Session, changes ...Change) {
	t.Helper()
	l.Change(t.Context(), s, alice, changes...)
}

func expect(t *testing.T, what string, got State, level string, uris ...string) {
	t.Helper()
	if got.Level != level || !slices.Equal(got.URIs, uris) || got.Ended {
		t.Errorf("%s: %+v, want %s %q", what, got, level, uris)
	}
}

func asked(t *testing.T, what string, m *memory, reads, writes int) {
	t.Helper()
	if r, w := m.count(); r != reads || w != writes {
		t.Errorf("%s: %d reads and %d writes, want %d and %d", what, r, w, reads, writes)
	}
}

// From life to life a session is what its client made of it, at the cost of a write for each change and a read in each life.
func TestLives(t *testing.T) {
	store, s := newMemory(), begun(1, 1)
	first := newLife(t, store, 1)
	if first.Ended(t.Context(), s, alice) {
		t.Error("it is over before it began")
	}
	asked(t, "a session of this life", store, 0, 0)
	first.change(t, s, Change{Level, "debug"})
	first.change(t, s, Change{Subscribe, "file:///a"})
	first.change(t, s, Change{Subscribe, "file:///b"}, Change{Subscribe, "file:///c"}) // of a batch
	first.change(t, s, Change{Subscribe, "file:///b"})                                 // nothing new
	asked(t, "three changes", store, 0, 3)
	expect(t, "in the same life", first.Begin(t.Context(), s, alice), "debug", "file:///a", "file:///b", "file:///c")
	asked(t, "in the same life", store, 0, 0)

	second := newLife(t, store, 2)
	for range 3 {
		if second.Ended(t.Context(), s, alice) {
			t.Error("it is over")
		}
		expect(t, "in the second life", second.Begin(t.Context(), s, alice), "debug", "file:///a", "file:///b", "file:///c")
	}
	asked(t, "in the second life", store, 1, 0)
	second.change(t, s, Change{Unsubscribe, "file:///b"}, Change{Level, "error"})
	asked(t, "a change in the second life", store, 0, 1)

	third := newLife(t, store, 3)
	expect(t, "in the third life", third.Begin(t.Context(), s, alice), "error", "file:///a", "file:///c")
	third.change(t, s, Change{Kind: End})
	asked(t, "the third life", store, 1, 1)
	for n := range uint64(3) {
		if !newLife(t, store, 4+n).Ended(t.Context(), s, alice) {
			t.Error("it is not over for ever")
		}
	}
	if len(store.records) != 1 {
		t.Errorf("%d records", len(store.records))
	}
	for _, r := range store.records {
		if !r.expires.Equal(s.Opened.Add(session.MaxAge)) {
			t.Errorf("it expires %v", r.expires)
		}
	}
	store.count()
	untouched := begun(2, 1)
	if fourth := newLife(t, store, 4); fourth.Ended(t.Context(), untouched, alice) {
		t.Error("a session that changed nothing is over")
	}
	asked(t, "a session that changed nothing", store, 1, 0)
}

// What is over stays so, whatever comes after it.
func TestEndIsFinal(t *testing.T) {
	store, s := newMemory(), begun(1, 1)
	l := newLife(t, store, 1)
	l.change(t, s, Change{Kind: End})
	l.change(t, s, Change{Level, "debug"})
	l.change(t, s, Change{Subscribe, "file:///a"})
	if !l.Ended(t.Context(), s, alice) || !newLife(t, store, 2).Ended(t.Context(), s, alice) {
		t.Error("it lives again")
	}
}

// The store learns nothing of what it keeps, and one session's record is no other's: not another user's, server's or id's.
func TestRecordsAreSealed(t *testing.T) {
	store, s := newMemory(), begun(1, 1)
	newLife(t, store, 1).change(t, s, Change{Subscribe, "file:///secret"}, Change{Level, "debug"})
	var name string
	for n, r := range store.records {
		name = n
		if bytes.Contains(r.sealed, []byte("secret")) || bytes.Contains(r.sealed, []byte("debug")) {
			t.Errorf("the store reads %q", r.sealed)
		}
	}
	sealer, sealed := newSealer(t, "github", 1), store.records[name].sealed
	if newSealer(t, "github", 2, 1).RecordName(s, alice.Issuer, alice.Subject) != name {
		t.Error("with a new key it is elsewhere")
	}
	if _, err := newSealer(t, "github", 2, 1).OpenRecord(sealed, s, alice.Issuer, alice.Subject); err != nil {
		t.Errorf("with a new key: %v", err)
	}
	for what, c := range map[string]struct {
		sealer *session.Sealer
		of     *session.Session
		caller Caller
	}{
		"another user": {sealer, s, Caller{alice.Issuer, "bob"}}, "another issuer": {sealer, s, Caller{"https://partner.test", "alice"}},
		"another server": {newSealer(t, "gitlab", 1), s, alice}, "another id": {sealer, begun(2, 1), alice},
	} {
		if c.sealer.RecordName(c.of, c.caller.Issuer, c.caller.Subject) == name {
			t.Errorf("%s: the same name", what)
		}
		if _, err := c.sealer.OpenRecord(sealed, c.of, c.caller.Issuer, c.caller.Subject); !errors.Is(err, session.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A record that was exchanged or broken may have said that the session is over.
	store.records[name] = record{[]byte("broken"), 7, time.Now()}
	if l := newLife(t, store, 2); !l.Ended(t.Context(), s, alice) || !strings.Contains(l.log.String(), "cannot be read") {
		t.Errorf("it goes on with a broken record: %s", l.log)
	}
}

// Of two shims that change a session at once both are heard.
func TestTwoWriters(t *testing.T) {
	store, s := newMemory(), begun(1, 1)
	older, newer := newLife(t, store, 1), newLife(t, store, 2)
	older.change(t, s, Change{Subscribe, "file:///a"})
	expect(t, "read", newer.Begin(t.Context(), s, alice), "", "file:///a")
	older.change(t, s, Change{Subscribe, "file:///b"})
	newer.change(t, s, Change{Level, "debug"})
	older.change(t, s, Change{Unsubscribe, "file:///a"})
	expect(t, "both", newLife(t, store, 3).Begin(t.Context(), s, alice), "debug", "file:///b")
	newer.change(t, s, Change{Kind: End})
	older.change(t, s, Change{Subscribe, "file:///c"})
	if !newLife(t, store, 3).Ended(t.Context(), s, alice) || !older.Ended(t.Context(), s, alice) {
		t.Error("the other's end was not heard")
	}
}

// However many changes come at once, none is lost.
func TestManyChangesAtOnce(t *testing.T) {
	store, s := newMemory(), begun(1, 1)
	l := newLife(t, store, 1)
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() { l.change(t, s, Change{Subscribe, fmt.Sprint("file:///", n)}) })
	}
	all.Wait()
	if got := newLife(t, store, 2).Begin(t.Context(), s, alice); len(got.URIs) != 50 {
		t.Errorf("%d are kept", len(got.URIs))
	}
}

// A store that is down keeps nobody waiting for long, and then nobody at all; what was changed is written when it is back.
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := newMemory(), begun(1, 1)
		l := newLife(t, store, 1)
		store.set(func() { store.hang = true })
		took := func(do func()) time.Duration {
			began := time.Now()
			do()
			return time.Since(began)
		}
		if d := took(func() { l.change(t, s, Change{Level, "debug"}) }); d != patience {
			t.Errorf("the first change took %v", d)
		}
		if d := took(func() { l.change(t, s, Change{Subscribe, "file:///a"}) }); d != 0 {
			t.Errorf("the next took %v", d)
		}
		expect(t, "here", l.Begin(t.Context(), s, alice), "debug", "file:///a")
		ended := begun(2, 7)
		if d := took(func() { l.change(t, ended, Change{Kind: End}) }); d != 0 || !l.Ended(t.Context(), ended, alice) {
			t.Errorf("the end took %v, and is no end", d)
		}
		time.Sleep(time.Minute)
		store.set(func() { store.hang = false })
		time.Sleep(pause + patience)
		synctest.Wait()
		if len(store.records) != 2 {
			t.Fatalf("%d are written", len(store.records))
		}
		store.count()
		time.Sleep(time.Minute)
		asked(t, "once all is written", store, 0, 0)
		next := newLife(t, store, 2)
		expect(t, "in the next life", next.Begin(t.Context(), s, alice), "debug", "file:///a")
		if !next.Ended(t.Context(), ended, alice) {
			t.Error("it lives again")
		}
		if log := l.log.String(); strings.Count(log, "cannot be reached") != 1 || strings.Count(log, "is back") != 1 {
			t.Errorf("%s", log)
		}
	})
}

// What could not be read when a session began again is read at its next call after the pause, and then owed, once.
func TestReadLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := newMemory(), begun(1, 1)
		newLife(t, store, 1).change(t, s, Change{Level, "debug"}, Change{Subscribe, "file:///a"})
		l := newLife(t, store, 2)
		store.set(func() { store.down = errors.New("no route") })
		if l.Ended(t.Context(), s, alice) {
			t.Error("it is over")
		}
		expect(t, "begun without", l.Begin(t.Context(), s, alice), "")
		if _, owed := l.TakeOwed(s); owed {
			t.Error("owed is what nobody knows")
		}
		l.change(t, s, Change{Subscribe, "file:///b"})
		store.set(func() { store.down = nil })
		l.Ended(t.Context(), s, alice)
		if _, owed := l.TakeOwed(s); owed {
			t.Error("it was asked at once")
		}
		time.Sleep(pause + time.Second)
		l.Ended(t.Context(), s, alice)
		got, owed := l.TakeOwed(s)
		if expect(t, "read late", got, "debug", "file:///a", "file:///b"); !owed {
			t.Error("nothing is owed")
		}
		if _, again := l.TakeOwed(s); again {
			t.Error("it is owed twice")
		}
		expect(t, "both are kept", newLife(t, store, 3).Begin(t.Context(), s, alice), "debug", "file:///a", "file:///b")
	})
}

// A write whose answer was lost is no other's write.
func TestAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := newMemory(), begun(1, 1)
		l := newLife(t, store, 1)
		store.set(func() { store.lose = true })
		l.change(t, s, Change{Level, "debug"})
		time.Sleep(pause + time.Second)
		synctest.Wait()
		l.change(t, s, Change{Subscribe, "file:///a"})
		expect(t, "kept", newLife(t, store, 2).Begin(t.Context(), s, alice), "debug", "file:///a")
	})
}

// When the shim leaves it writes what is pending, and says what it could not.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := newMemory(), begun(1, 1)
		l := newLife(t, store, 1)
		store.set(func() { store.down = errors.New("no route") })
		l.change(t, s, Change{Kind: End})
		l.Close(t.Context())
		if !strings.Contains(l.log.String(), "is lost") || !strings.Contains(l.log.String(), "sessions=1") {
			t.Errorf("%s", l.log)
		}
		store.set(func() { store.down = nil })
		l.Close(t.Context())
		if !newLife(t, store, 2).Ended(t.Context(), s, alice) {
			t.Error("it was not written")
		}
	})
}

// Whoever leaves has asked for it all the same.
func TestCallerLeaves(t *testing.T) {
	store, s := newMemory(), begun(1, 1)
	gone, leave := context.WithCancel(t.Context())
	leave()
	newLife(t, store, 1).Change(gone, s, alice, Change{Kind: End})
	if !newLife(t, store, 2).Ended(t.Context(), s, alice) {
		t.Error("it was not written")
	}
}

// What is remembered is bounded in number and bytes, and what was forgotten is read again.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := newLife(t, store, 1)
		const each = maxText / maxURI
		for n := range 2 * maxBytes / maxText {
			s := begun(0, 1)
			s.Name = session.Name{byte(n >> 8), byte(n)}
			for u := range each {
				l.change(t, s, Change{Subscribe, strings.Repeat(string(rune('a'+u)), maxURI)})
			}
			time.Sleep(time.Millisecond)
		}
		if l.bytes > maxBytes+maxText || len(l.known) > maxBytes/maxText+1 {
			t.Errorf("%d bytes of %d sessions are kept", l.bytes, len(l.known))
		}
		sum := 0
		for _, e := range l.known {
			sum += e.state.size()
		}
		if sum != l.bytes {
			t.Errorf("counted %d bytes of %d", l.bytes, sum)
		}
		first := begun(0, 1)
		l.change(t, first, Change{Level, "debug"}) // which conflicts with what is stored
		if got := l.Begin(t.Context(), first, alice); got.Level != "debug" || len(got.URIs) != each {
			t.Errorf("%s, %d subscriptions", got.Level, len(got.URIs))
		}
	})
}
