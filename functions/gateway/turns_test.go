package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// turnsRig notes who got a place, in order.
type turnsRig struct {
	*turns
	ctx context.Context
	got []string
}

func (r *turnsRig) ask(name string) {
	go func() {
		if r.take(r.ctx, name) == nil {
			r.got = append(r.got, name)
		}
	}()
	synctest.Wait()
}

func (r *turnsRig) back(name string) {
	r.give(name)
	synctest.Wait()
}

func (r *turnsRig) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	if !slices.Equal(r.got, want) {
		t.Errorf("%s: %v, want %v", what, r.got, want)
	}
	r.got = nil
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &turnsRig{turns: newTurns(4, 3, 5, 100), ctx: t.Context()}
		for range 6 {
			r.ask("flood")
		}
		r.expect(t, "one source has its share", "flood", "flood", "flood")
		r.ask("a")
		r.expect(t, "the next has a place at once", "a")
		r.ask("b")
		r.ask("a")
		r.ask("c")
		r.expect(t, "there is none left")
		r.back("flood")
		r.expect(t, "who waits longest", "flood")
		for range 3 {
			r.back("flood")
		}
		r.expect(t, "each source in its turn", "b", "a", "c")
		r.back("b")
		r.expect(t, "and around", "flood")
		for _, name := range []string{"a", "a", "c", "flood"} {
			r.back(name)
		}
		r.expect(t, "and the rest", "flood")
		r.back("flood")
		if r.taken != 0 || r.waiting != 0 || len(r.sources) != 0 || len(r.ring) != 0 {
			t.Errorf("left: %+v", r.turns)
		}
	})
}

func TestTurnsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &turnsRig{turns: newTurns(1, 1, 2, 3), ctx: t.Context()}
		for range 3 {
			r.ask("flood")
		}
		if err := r.take(t.Context(), "flood"); !errors.Is(err, errNoTurn) {
			t.Errorf("more of one source than may wait: %v", err)
		}
		r.ask("a")
		if err := r.take(t.Context(), "b"); !errors.Is(err, errNoTurn) || r.sources["b"] != nil {
			t.Errorf("more than may wait: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r.back("flood")
		r.expect(t, "those who wait", "flood", "flood")
		began := time.Now()
		if err := r.take(ctx, "late"); !errors.Is(err, errNoTurn) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		r.back("flood")
		r.back("a")
		r.back("flood")
		if r.taken != 0 || r.waiting != 0 || len(r.sources) != 0 || len(r.ring) != 0 {
			t.Errorf("left: %+v", r.turns)
		}
	})
}

func TestSourceOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:443": "192.0.2.1", "[::ffff:192.0.2.1]:443": "192.0.2.1", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "": "", "pipe": "pipe",
	} {
		if got := sourceOf(remote); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
	if fmt.Sprint(sourceOf("[2001:db8:1:2::1]:1")) != sourceOf("[2001:db8:1:2:ffff::]:9") {
		t.Error("two addresses of one network are two sources")
	}
}
