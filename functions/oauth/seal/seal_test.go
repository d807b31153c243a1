package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func sealer(t *testing.T, fill byte) *Sealer {
	t.Helper()
	s, err := New(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSeal(t *testing.T) {
	s := sealer(t, 1)
	first, second := s.Seal("flow", []byte("text")), s.Seal("flow", []byte("text"))
	if first == second || strings.Contains(first, "text") {
		t.Error("it can be read, or compared")
	}
	if got, err := s.Open("flow", first); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	changed := []byte(first)
	changed[len(changed)/2] ^= 1
	// Of 6 bits of the last character some are nobody's: another character with the same others means the same bytes.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, first[len(first)-1])
	twin := first[:len(first)-1] + string(alphabet[last^1])
	for name, open := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return s.Open("key", first) },
		"another key":     func() ([]byte, error) { return sealer(t, 2).Open("flow", first) },
		"changed":         func() ([]byte, error) { return s.Open("flow", string(changed)) },
		"cut":             func() ([]byte, error) { return s.Open("flow", first[:20]) },
		"a twin":          func() ([]byte, error) { return s.Open("flow", twin) },
		"nothing":         func() ([]byte, error) { return s.Open("flow", "") },
		"no base64":       func() ([]byte, error) { return s.Open("flow", first+"\n") },
	} {
		if got, err := open(); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestDerive(t *testing.T) {
	s := sealer(t, 1)
	if !bytes.Equal(s.Derive("a", "b"), sealer(t, 1).Derive("a", "b")) {
		t.Error("not the same each time")
	}
	for name, other := range map[string][]byte{"purpose": s.Derive("b", "b"), "source": s.Derive("a", "c"), "run together": s.Derive("ab", ""),
		"key": sealer(t, 2).Derive("a", "b")} {
		if bytes.Equal(other, s.Derive("a", "b")) {
			t.Errorf("the same by another %s", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(make([]byte, KeySize-1)); err == nil {
		t.Error("a short key is taken")
	}
}

func TestRandom(t *testing.T) {
	if a, b := Random(), Random(); a == b || len(a) != 43 {
		t.Errorf("%q, %q", a, b)
	}
}
