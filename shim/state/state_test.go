package state

import (
	"fmt"
	"strings"
	"testing"
)

// What a record holds is bounded, and what is beyond leaves the rest as it is.
func TestBounds(t *testing.T) {
	var s State
	for n := range maxURIs {
		var err error
		if s, err = s.with(Change{Subscribe, fmt.Sprint("file:///", n)}); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]Change{
		"one more": {Subscribe, "file:///x"}, "a long level": {Level, strings.Repeat("x", maxLevel+1)}, "a long URI": {Subscribe, strings.Repeat("x", maxURI+1)},
	} {
		if next, err := s.with(c); err == nil || !next.equal(s) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wide := State{}
	for n := range maxText / maxURI {
		wide, _ = wide.with(Change{Subscribe, strings.Repeat(string(rune('a'+n)), maxURI)})
	}
	if _, err := wide.with(Change{Subscribe, "x"}); err == nil || wide.size() != maxText {
		t.Errorf("%d bytes and one more: %v", wide.size(), err)
	}
	if n := len(wide.plain()); n > 40<<10 {
		t.Errorf("a record of %d bytes", n)
	}
	less, err := s.with(Change{Unsubscribe, "file:///7"})
	if err != nil || len(less.URIs) != maxURIs-1 || len(s.URIs) != maxURIs || s.URIs[7] != "file:///7" {
		t.Error("one less changes the state before")
	}
}

// Whatever a record says: it is refused, or within bounds and written as it was read.
func FuzzRecord(f *testing.F) {
	f.Add(State{Level: "debug", URIs: []string{"file:///a", "b"}}.plain())
	f.Add(State{Ended: true}.plain())
	f.Add([]byte{})
	f.Add([]byte{formatOpen, 200})
	f.Add([]byte{formatOpen, 0, 0, 1, 'a', 0, 1, 'a'})
	f.Add([]byte{formatEnded, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := readPlain(in)
		if err != nil {
			return
		}
		if len(s.Level) > maxLevel || len(s.URIs) > maxURIs || s.size() > maxText || s.Ended && (s.Level != "" || s.URIs != nil) {
			t.Errorf("%+v", s)
		}
		if string(s.plain()) != string(in) {
			t.Errorf("%q is written %q", in, s.plain())
		}
	})
}
