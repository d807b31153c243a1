package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever happens to the store, and however lives overlap, what clients asked for is what a later life reads: each of two shims
// at a time changes subscriptions of its own, the store goes away, hangs and loses answers, and shims leave in order and come anew.
func TestSchedules(t *testing.T) {
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) { schedule(t, rand.New(rand.NewPCG(seed, 1))) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func schedule(t *testing.T, r *rand.Rand) {
	store, s, ended := newMemory(), begun(1, 1), begun(2, 1)
	over := false
	want := [2]map[string]bool{{}, {}} // by who asked for it
	lives := [2]life{newLife(t, store, 1), newLife(t, store, 2)}
	up := func() {
		store.set(func() { store.down, store.hang, store.lose = nil, false, false })
		time.Sleep(2 * (pause + patience))
	}
	for n := range 40 {
		who := r.IntN(2)
		l, uri := lives[who], fmt.Sprintf("file:///%d/%d", who, r.IntN(5))
		switch r.IntN(9) {
		case 0, 1, 2:
			want[who][uri] = true
			l.change(t, s, Change{Subscribe, uri})
		case 3:
			delete(want[who], uri)
			l.change(t, s, Change{Unsubscribe, uri})
		case 4:
			if r.IntN(4) == 0 {
				over = true
				l.change(t, ended, Change{Kind: End})
			} else {
				l.change(t, ended, Change{Subscribe, uri}) // which revives nothing
			}
		case 5:
			store.set(func() { store.down = errors.New("no route") })
		case 6:
			store.set(func() { store.hang, store.lose = r.IntN(2) == 0, true })
		case 7:
			up()
		case 8:
			up()
			l.Close(t.Context())
			lives[who] = newLife(t, store, uint64(n)+3) //nolint:gosec // small
		}
		time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
	}
	up()
	for _, l := range lives {
		l.Close(t.Context())
	}
	last := newLife(t, store, 100)
	got := last.Begin(t.Context(), s, alice).URIs
	var all []string
	for _, set := range want {
		for uri := range set {
			all = append(all, uri)
		}
	}
	slices.Sort(all)
	if slices.Sort(got); !slices.Equal(got, all) || last.Ended(t.Context(), ended, alice) != over {
		t.Errorf("read %s instead of %s, over: %v", strings.Join(got, " "), strings.Join(all, " "), over)
	}
}
