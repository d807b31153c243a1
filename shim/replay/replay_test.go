package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const reply = "data: {\"id\":1}\n\n"

func note(n int) []byte { return fmt.Appendf(nil, "data: %d\n\n", n) }

// follow is what a client that takes the stream up after an event gets, and what it ends with.
func follow(s *Stream, after int) (string, error) {
	var got strings.Builder
	err := s.Follow(context.Background(), after, func(event []byte) error { got.Write(event); return nil })
	return got.String(), err
}

func TestFollow(t *testing.T) {
	k := NewKeeper()
	s := k.Begin("o", "a.b")
	var all []string
	for n := range 3 {
		all = append(all, string(s.Add(note(n), false)))
	}
	all = append(all, string(s.Add([]byte(reply), true)))
	s.End()
	if want := "id: a.b.4\n" + reply; all[3] != want {
		t.Errorf("sent %q, want %q", all[3], want)
	}
	for n := range 5 {
		id := fmt.Sprintf("a.b.%d", n)
		name, after, found, ok := k.Find(id)
		if !ok || name != "a.b" || after != n || found != s {
			t.Fatalf("%s is %q %d %p %v", id, name, after, found, ok)
		}
		if got, err := follow(found, after); err != nil || got != strings.Join(all[n:], "") {
			t.Errorf("after %d came %q, %v", n, got, err)
		}
	}
	if got, err := follow(s, 5); !errors.Is(err, ErrLost) || got != "" {
		t.Errorf("after an event that never was came %q, %v", got, err)
	}
}

// What comes while somebody follows is sent on, up to the end.
func TestFollowLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewKeeper().Begin("o", "s")
		go func() {
			for n := range 3 {
				time.Sleep(time.Second)
				s.Add(note(n), false)
			}
			s.Add([]byte(reply), true)
			s.End()
		}()
		if got, err := follow(s, 0); err != nil || got != "id: s.1\ndata: 0\n\nid: s.2\ndata: 1\n\nid: s.3\ndata: 2\n\nid: s.4\n"+reply {
			t.Errorf("got %q, %v", got, err)
		}
		if !s.Taken() {
			t.Error("it is not taken")
		}
		time.Sleep(2 * Kept)
	})
}

// The one who takes a stream up last has it alone.
func TestFollowTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewKeeper().Begin("o", "s")
		if s.Taken() {
			t.Error("it is taken by nobody")
		}
		first := make(chan error)
		go func() { _, err := follow(s, 0); first <- err }()
		synctest.Wait()
		second := make(chan string)
		go func() { got, _ := follow(s, 0); second <- got }()
		synctest.Wait()
		if err := <-first; !errors.Is(err, errTaken) {
			t.Errorf("the first ends with %v", err)
		}
		s.Add([]byte(reply), true)
		s.End()
		if got := <-second; got != "id: s.1\n"+reply {
			t.Errorf("the second gets %q", got)
		}
		time.Sleep(2 * Kept)
	})
}

func TestFollowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewKeeper().Begin("o", "s")
		s.Add(note(0), false)
		gone := errors.New("gone")
		if err := s.Follow(t.Context(), 0, func([]byte) error { return gone }); !errors.Is(err, gone) {
			t.Errorf("a client that left: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Follow(ctx, 1, func([]byte) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call that takes too long: %v", err)
		}
	})
}

// A stream whose answer never came, or is not kept, is lost, and said to be.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper()
		broken := k.Begin("o", "broken")
		broken.Add(note(0), false)
		broken.End()
		if got, err := follow(broken, 0); !errors.Is(err, ErrLost) || got != "id: broken.1\ndata: 0\n\n" {
			t.Errorf("broken: %q, %v", got, err)
		}
		long := k.Begin("o", "long")
		long.Add(make([]byte, maxStream+1), true)
		long.End()
		if got, err := follow(long, 0); !errors.Is(err, ErrLost) || got != "" {
			t.Errorf("too long: %d bytes, %v", len(got), err)
		}
		named := k.Begin("o", "named")
		followed := make(chan error)
		go func() { _, err := follow(named, 0); followed <- err }()
		synctest.Wait()
		named.Drop()
		if err := <-followed; !errors.Is(err, ErrLost) {
			t.Errorf("dropped: %v", err)
		}
		named.End()
		if _, _, s, _ := k.Find("named.0"); s != nil {
			t.Error("dropped: it is kept")
		}
		old := k.Begin("o", "old")
		old.Add([]byte(reply), true)
		old.End()
		old.End()
		time.Sleep(Kept - time.Second)
		if _, _, s, _ := k.Find("old.0"); s != old {
			t.Error("old: it is not kept")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(k.streams) > 0 || len(k.ended) > 0 || k.size != 0 {
			t.Errorf("%d streams and %d bytes are kept", len(k.streams), k.size)
		}
	})
}

// What is kept has a bound: of one stream the newest events stay, of all those of the streams that ended last.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper()
		s := k.Begin("o", "s")
		event := []byte("data: " + strings.Repeat("x", maxStream/4-100) + "\n\n")
		for range 10 {
			s.Add(event, false)
		}
		s.Add([]byte(reply), true)
		s.End()
		if got, err := follow(s, 2); err != nil || !strings.HasPrefix(got, "id: s.7\n") || !strings.HasSuffix(got, "id: s.11\n"+reply) || s.size > maxStream {
			t.Errorf("%.20q… of %d bytes, %v", got, s.size, err)
		}
		const many = 2 * maxAll / maxStream
		for n := range many {
			more := k.Begin("o", fmt.Sprint(n))
			for range 4 {
				more.Add(event, true)
			}
			more.End()
		}
		if _, _, last, _ := k.Find(fmt.Sprintf("%d.0", many-1)); k.size > maxAll || last == nil || k.streams["s"] != nil {
			t.Errorf("%d bytes are kept, the last is %v, the first %v", k.size, last, k.streams["s"])
		}
		for n := range many { // streams that have no end are kept to the same bound
			more := k.Begin("o", fmt.Sprint("open", n))
			for range 4 {
				more.Add(event, false)
			}
		}
		if k.size > maxAll {
			t.Errorf("%d bytes are kept of streams under way", k.size)
		}
		time.Sleep(2 * Kept)
	})
}

// Whatever is sent as the id of an event, only what we made names one.
func FuzzFind(f *testing.F) {
	k := NewKeeper()
	s := k.Begin("o", "r1.a")
	for _, id := range []string{"r1.a.1", "r1.a.01", "r1.a.-1", "r1.a.+1", "r1.a.", "r1.a", ".1", "", "r1.a.99999999999999999999", "r1.b.1"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name, after, found, ok := k.Find(id)
		if ok && (fmt.Sprintf("%s.%d", name, after) != id || after < 0) || (found != nil) != (ok && name == "r1.a") || found != nil && found != s {
			t.Errorf("%q is %q %d %p %v", id, name, after, found, ok)
		}
	})
}

// What an owner who does not come back had is forgotten, and what still comes is not kept; others' is.
func TestForget(t *testing.T) {
	k := NewKeeper()
	mine, theirs := k.Begin("me", "mine"), k.Begin("them", "theirs")
	mine.Add(note(1), false)
	theirs.Add(note(1), false)
	k.Forget("me")
	if out := string(mine.Add(note(2), true)); out != "id: mine.2\ndata: 2\n\n" {
		t.Errorf("the next is %q", out)
	}
	mine.End()
	if got, err := follow(mine, 0); got != "" || !errors.Is(err, ErrLost) || k.size != theirs.size || len(k.streams) != 1 {
		t.Errorf("%q, %v, %d bytes of %d streams", got, err, k.size, len(k.streams))
	}
}

// Who waits for a client that left does so until that one has all of the answer, or cannot have it.
func TestAwait(t *testing.T) {
	const lost = "it is lost"
	for name, c := range map[string]struct {
		after  int
		happen func(k *Keeper, s *Stream)
		took   time.Duration
	}{
		"nobody comes back": {1, func(_ *Keeper, s *Stream) { s.Add([]byte(reply), true); s.End() }, Kept + time.Second},
		"it comes back": {1, func(_ *Keeper, s *Stream) {
			s.Add([]byte(reply), true)
			s.End()
			time.Sleep(time.Minute)
			_, _ = follow(s, 1)
		}, time.Minute + time.Second},
		"it has the answer":         {2, func(_ *Keeper, s *Stream) { s.Add([]byte(reply), true) }, time.Second},
		"there is no answer":        {1, func(_ *Keeper, s *Stream) { s.Add(note(1), false); s.End() }, time.Second},
		"its session is over":       {1, func(k *Keeper, _ *Stream) { k.Forget("o") }, time.Second},
		"the answer cannot be kept": {1, func(_ *Keeper, s *Stream) { s.Add(make([]byte, maxStream+1), true); s.End() }, time.Second},
		"it comes back in the middle": {1, func(_ *Keeper, s *Stream) {
			go func() { _, _ = follow(s, 1) }()
			time.Sleep(time.Minute)
			s.Add([]byte(reply), true)
			s.End()
		}, time.Minute + time.Second},
		"it comes back, and leaves": {1, func(_ *Keeper, s *Stream) {
			s.Add([]byte(reply), true)
			s.End()
			_ = s.Follow(t.Context(), 1, func([]byte) error { return errors.New(lost) })
		}, Kept + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := NewKeeper()
				s := k.Begin("o", "s")
				s.Add(note(0), false)
				go func() {
					time.Sleep(time.Second)
					c.happen(k, s)
				}()
				began := time.Now()
				if err := s.Await(t.Context(), c.after); err != nil || time.Since(began) != c.took {
					t.Errorf("it took %v, %v", time.Since(began), err)
				}
				time.Sleep(2 * Kept)
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewKeeper().Begin("o", "s").Await(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits no more: %v", err)
	}
}

// Of two who left one after the other, the second is waited for when the first's place was taken to its end for nobody.
func TestAwaitTheLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewKeeper().Begin("o", "s")
		s.Add(note(0), false)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.Await(t.Context(), 1) }()
		synctest.Wait()
		go func() { _, _ = follow(s, 1) }()
		synctest.Wait()
		go func() { second <- s.Await(t.Context(), 1) }() // its gateway reads on
		synctest.Wait()
		s.Add([]byte(reply), true)
		s.End()
		if err := <-first; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		select {
		case <-second:
			t.Error("the second is not waited for")
		default:
		}
		_, _ = follow(s, 1)
		if err := <-second; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * Kept)
	})
}
