// Package storetest is the suite that every store passes. What it asks is what package store promises.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/store"
)

// Clock is what a store under test takes for the time.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock begins at the time on the wall, which a store that is a service goes by too.
func NewClock() *Clock { return &Clock{now: time.Now().Round(time.Millisecond)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass lets time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run asks all of a store. Its parts are named for the test, so that tests can share a service.
func Run(t *testing.T, s store.Store, clock *Clock) {
	part := func(name string) string { return fmt.Sprintf("%s/%s/%d", t.Name(), name, time.Now().UnixNano()) }
	t.Run("versions", func(t *testing.T) { versions(t, s, store.Key{Part: part("versions"), Sort: "a"}) })
	t.Run("expiry", func(t *testing.T) { expiry(t, s, clock, store.Key{Part: part("expiry"), Sort: "a"}) })
	t.Run("list", func(t *testing.T) { list(t, s, clock, part("list")) })
	t.Run("pages", func(t *testing.T) { pages(t, s, part("pages")) })
	t.Run("once", func(t *testing.T) { once(t, s, store.Key{Part: part("once"), Sort: "code"}) })
	t.Run("bounds", func(t *testing.T) { bounds(t, s, part("bounds")) })
	t.Run("canceled", func(t *testing.T) { canceled(t, s, store.Key{Part: part("canceled"), Sort: "a"}) })
}

func versions(t *testing.T, s store.Store, k store.Key) {
	ctx := t.Context()
	if _, err := s.Get(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("an item that was never written: %v", err)
	}
	if err := s.Delete(ctx, store.Item{Key: k}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("deleting nothing: %v", err)
	}
	first, err := s.Put(ctx, store.Item{Key: k, Value: []byte{0, 255, 'x'}})
	if err != nil || first.Version != 1 {
		t.Fatalf("first write: version %d, %v", first.Version, err)
	}
	if _, err := s.Put(ctx, store.Item{Key: k, Value: []byte("again")}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second first write: %v", err)
	}
	got, err := s.Get(ctx, k)
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	got.Value = nil
	second, err := s.Put(ctx, got)
	if err != nil || second.Version != 2 {
		t.Fatalf("second write: version %d, %v", second.Version, err)
	}
	if _, err := s.Put(ctx, first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a write over a later one: %v", err)
	}
	if err := s.Delete(ctx, first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("deleting a later one: %v", err)
	}
	if got, err := s.Get(ctx, k); err != nil || len(got.Value) != 0 || got.Version != 2 {
		t.Errorf("after refused writes: %+v, %v", got, err)
	}
	if err := s.Delete(ctx, second); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted item: %v", err)
	}
	if _, err := s.Put(ctx, second); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a write over a deleted one: %v", err)
	}
}

func expiry(t *testing.T, s store.Store, clock *Clock, k store.Key) {
	ctx := t.Context()
	i, err := s.Put(ctx, store.Item{Key: k, Value: []byte("x"), Expires: clock.Now().Add(time.Minute).Truncate(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, k); err != nil || !got.Expires.Equal(i.Expires) {
		t.Fatalf("before its time: %+v, %v", got, err)
	}
	clock.Pass(time.Minute)
	if _, err := s.Get(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its time: %v", err)
	}
	if _, err := s.Put(ctx, i); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a write over an expired one: %v", err)
	}
	if err := s.Delete(ctx, i); !errors.Is(err, store.ErrConflict) {
		t.Errorf("deleting an expired one: %v", err)
	}
	if i, err := s.Put(ctx, store.Item{Key: k}); err != nil || i.Version != 1 {
		t.Errorf("a first write after it: %+v, %v", i, err)
	}
}

func list(t *testing.T, s store.Store, clock *Clock, part string) {
	ctx := t.Context()
	put := func(i store.Item) {
		t.Helper()
		if _, err := s.Put(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	put(store.Item{Key: store.Key{Part: part, Sort: "soon"}, Expires: clock.Now().Add(time.Minute)})
	put(store.Item{Key: store.Key{Part: part + "b", Sort: "a"}})
	put(store.Item{Key: store.Key{Part: part[:len(part)-1], Sort: part[len(part)-1:] + "a"}})
	for _, n := range []string{"b", "a", "c#"} {
		put(store.Item{Key: store.Key{Part: part, Sort: n}, Value: []byte(n)})
	}
	clock.Pass(time.Minute)
	items, err := s.List(ctx, part)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range items {
		got = append(got, i.Sort+"="+string(i.Value))
		if i.Part != part || i.Version != 1 {
			t.Errorf("listed %+v", i)
		}
	}
	if diff := cmp.Diff([]string{"a=a", "b=b", "c#=c#"}, got); diff != "" {
		t.Error(diff)
	}
}

// pages lists more than a service answers with at once: DynamoDB does with 1 MB.
func pages(t *testing.T, s store.Store, part string) {
	const n = 6
	for i := range n {
		if _, err := s.Put(t.Context(), store.Item{Key: store.Key{Part: part, Sort: fmt.Sprint(i)}, Value: make([]byte, store.MaxValue)}); err != nil {
			t.Fatal(err)
		}
	}
	if items, err := s.List(t.Context(), part); err != nil || len(items) != n {
		t.Errorf("%d items are listed of %d, %v", len(items), n, err)
	}
}

// once has many take the same item at the same time.
func once(t *testing.T, s store.Store, k store.Key) {
	ctx := t.Context()
	for _, take := range []func(store.Item) error{
		func(i store.Item) error { return s.Delete(ctx, i) },
		func(i store.Item) error { _, err := s.Put(ctx, i); return err },
	} {
		i, err := s.Put(ctx, store.Item{Key: k})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		results := make(chan error, 8)
		for range cap(results) {
			all.Go(func() { results <- take(i) })
		}
		all.Wait()
		taken := 0
		for range cap(results) {
			switch err := <-results; {
			case err == nil:
				taken++
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		}
		if taken != 1 {
			t.Errorf("taken %d times", taken)
		}
	}
}

func bounds(t *testing.T, s store.Store, part string) {
	ctx, long := t.Context(), strings.Repeat("x", store.MaxKey+1)
	for name, i := range map[string]store.Item{
		"no part":     {Key: store.Key{Sort: "a"}},
		"no sort":     {Key: store.Key{Part: part}},
		"long part":   {Key: store.Key{Part: long, Sort: "a"}},
		"long sort":   {Key: store.Key{Part: part, Sort: long}},
		"no text":     {Key: store.Key{Part: part, Sort: "\xff"}},
		"large":       {Key: store.Key{Part: part, Sort: "a"}, Value: make([]byte, store.MaxValue+1)},
		"of the past": {Key: store.Key{Part: part, Sort: "a"}, Version: -1},
	} {
		if _, err := s.Put(ctx, i); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	largest := store.Item{Key: store.Key{Part: part, Sort: long[1:]}, Value: bytes.Repeat([]byte{7}, store.MaxValue)}
	if _, err := s.Put(ctx, largest); err != nil {
		t.Errorf("the largest: %v", err)
	}
	if got, err := s.Get(ctx, largest.Key); err != nil || !bytes.Equal(got.Value, largest.Value) {
		t.Errorf("the largest comes back as %d bytes, %v", len(got.Value), err)
	}
}

// canceled has everything asked for somebody who has left: nothing is done, and nothing said of what is there.
func canceled(t *testing.T, s store.Store, k store.Key) {
	kept, err := s.Put(t.Context(), store.Item{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	_, get := s.Get(ctx, k)
	_, list := s.List(ctx, k.Part)
	_, put := s.Put(ctx, kept)
	for name, err := range map[string]error{"Get": get, "List": list, "Put": put, "Delete": s.Delete(ctx, kept)} {
		if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := s.Get(t.Context(), k); err != nil || got.Version != kept.Version {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}
