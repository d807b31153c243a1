package session

import (
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func numbered(n int) *Session {
	var s Session
	binary.BigEndian.PutUint64(s.Name[:], uint64(n)+1) //nolint:gosec // small
	return &s
}

// What is remembered is bounded, and those go that nobody asked for longest.
func TestLivingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLiving()
		for n := range maxLiving + 10 {
			l.Begun(numbered(n), "")
			l.End(numbered(-n - 2)) // others
			time.Sleep(time.Millisecond)
		}
		if len(l.again) != maxLiving || len(l.ended) != maxLiving {
			t.Errorf("%d begun again and %d ended are kept", len(l.again), len(l.ended))
		}
		for n, kept := range map[int]bool{0: false, 9: false, 10: true, maxLiving + 9: true} {
			if (l.again[numbered(n).Name] != nil) != kept || l.Ended(numbered(-n-2)) != kept {
				t.Errorf("number %d: kept is not %v", n, kept)
			}
		}
	})
}

// A session whose client ended it is not one that was begun again.
func TestEndedIsNotCurrent(t *testing.T) {
	l, s := NewLiving(), numbered(1)
	id, err := l.Begin(t.Context(), s, "", func() (Beginning, error) { return Beginning{ID: "new"}, nil })
	if id != "new" || err != nil {
		t.Fatal(id, err)
	}
	if id, known := l.Current(s); id != "new" || !known {
		t.Errorf("%q, %v", id, known)
	}
	l.End(s)
	if id, known := l.Current(s); id == "new" || known || !l.Ended(s) {
		t.Errorf("after its end: %q, %v", id, known)
	}
}

// Whoever lost what another has replaced already gets that, and begins nothing.
func TestBegunOnceForAll(t *testing.T) {
	l, s, begun := NewLiving(), numbered(1), 0
	begin := func() (Beginning, error) {
		begun++
		return Beginning{ID: fmt.Sprint("id-", begun)}, nil
	}
	for n, tc := range []struct{ lost, want string }{{"", "id-1"}, {"", "id-1"}, {"older", "id-1"}, {"id-1", "id-2"}, {"id-1", "id-2"}} {
		if id, err := l.Begin(t.Context(), s, tc.lost, begin); id != tc.want || err != nil {
			t.Errorf("%d: %q instead of %q, %v", n, id, tc.want, err)
		}
	}
}
