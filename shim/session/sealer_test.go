package session

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newSealer(t testing.TB, server string, key byte) *Sealer {
	t.Helper()
	s, err := NewSealer(server, bytes.Repeat([]byte{key}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// began is a session that began just now.
func began(id string) Session {
	return Session{ID: id, Life: 1 << 63, Opened: time.Unix(time.Now().Unix(), 0), Introduction: Introduction{Params: `{"a":{}}`, Version: "2025-11-25", Answer: [8]byte{1, 7: 2}}}
}

func TestSealOpen(t *testing.T) {
	s := newSealer(t, "github", 1)
	long, wide, most := began("b"), began(strings.Repeat("x", maxID)), began("c")
	long.Params = strings.Repeat("y", maxPlain)
	wide.Params = long.Params[:maxPlain-fixed-maxID-len(wide.Version)]
	most.Version = strings.Repeat("z", 256)
	old := began("d") // sealed again later, it does not begin anew
	old.Opened = old.Opened.Add(-time.Hour)
	for _, n := range []Session{began("a"), wide, long, most, old} {
		sealed, err := s.Seal(n, "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open(sealed, "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		if n.ID == "b" || n.ID == "c" {
			n.Params, n.Version = "", "" // too long to be kept
		}
		if n.Name = got.Name; *got != n {
			t.Errorf("got %+v, want %+v", got, n)
		}
		if len(sealed) > 1024 || strings.ContainsFunc(sealed, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is too long or no visible ASCII", sealed)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", maxID+1)} {
		if _, err := s.Seal(began(id), "https://i", "alice"); err == nil {
			t.Errorf("an id of %d bytes was sealed", len(id))
		}
	}
}

// A name is that of one sealed id.
func TestNames(t *testing.T) {
	s := newSealer(t, "github", 1)
	var names []Name
	for range 2 {
		sealed, err := s.Seal(began("a"), "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			n, err := s.Open(sealed, "https://i", "alice")
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, n.Name)
		}
	}
	if names[0] != names[1] || names[2] != names[3] || names[0] == names[2] || names[0] == (Name{}) {
		t.Errorf("%x", names)
	}
}

func TestOpenRefusesWhatIsNotTheCallers(t *testing.T) {
	s := newSealer(t, "github", 1)
	sealed, err := s.Seal(began("inner"), "https://i", "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		sealer          *Sealer
		issuer, subject string
	}{
		{"other subject", s, "https://i", "bob"},
		{"other issuer", s, "https://j", "alice"},
		{"shifted", s, "https://ia", "lice"},
		{"other server", newSealer(t, "gitlab", 1), "https://i", "alice"},
		{"other key", newSealer(t, "github", 2), "https://i", "alice"},
	} {
		if id, err := c.sealer.Open(sealed, c.issuer, c.subject); err != ErrUnknown {
			t.Errorf("%s: got %v, %v", c.name, id, err)
		}
	}
}

// The first key seals, the others open what was sealed with them.
func TestKeysAreRotated(t *testing.T) {
	keys := make([][]byte, MaxKeys+1)
	for i := range keys {
		keys[i] = bytes.Repeat([]byte{byte(i)}, KeySize)
	}
	ring := func(keys ...[]byte) *Sealer {
		s, err := NewSealer("github", keys...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	sealed, err := ring(keys[0]).Seal(began("x"), "https://i", "alice")
	if err != nil {
		t.Fatal(err)
	}
	before := [][]byte{keys[0]}
	for _, key := range keys[1:] {
		if _, err := ring(before...).Open(sealed, "https://i", "alice"); err != nil {
			t.Errorf("with %d keys: %v", len(before), err)
		}
		before = append([][]byte{key}, before...)
	}
	if _, err := ring(before[:MaxKeys]...).Open(sealed, "https://i", "alice"); err != ErrUnknown {
		t.Errorf("without its key: %v", err)
	}
	newest, err := ring(before[:MaxKeys]...).Seal(began("x"), "https://i", "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring(before[0]).Open(newest, "https://i", "alice"); err != nil {
		t.Errorf("the first key does not seal: %v", err)
	}
}

func TestSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSealer(t, "github", 1)
		sealed, err := s.Seal(began("x"), "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * 24 * time.Hour)
		if _, err := s.Open(sealed, "https://i", "alice"); err != nil {
			t.Errorf("after 30 days: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := s.Open(sealed, "https://i", "alice"); err != ErrUnknown {
			t.Errorf("after more than 30 days: %v", err)
		}
	})
}

// Each altered character must close the id: base64 has spare bits that a lenient decoder ignores.
func TestOpenRefusesEveryAlteration(t *testing.T) {
	s := newSealer(t, "github", 1)
	for _, id := range []string{"a", "ab", "abc"} {
		sealed, err := s.Seal(Session{ID: id, Opened: time.Now()}, "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		for i := range sealed {
			for _, c := range []byte("ABCxyz019-_.~") {
				if altered := sealed[:i] + string(c) + sealed[i+1:]; altered != sealed {
					if got, err := s.Open(altered, "https://i", "alice"); err != ErrUnknown {
						t.Fatalf("%q opened as %v", altered, got)
					}
				}
			}
		}
		for _, altered := range []string{"", "s2.", "s1." + sealed[3:], sealed[3:], sealed + "A", sealed[:len(sealed)-1], sealed + "=", sealed + "\n", "\n" + sealed,
			strings.ToUpper(sealed), sealed + strings.Repeat("A", 2000)} {
			if _, err := s.Open(altered, "https://i", "alice"); err != ErrUnknown {
				t.Errorf("%.80q opened", altered)
			}
		}
	}
}

func TestNewSealerRefuses(t *testing.T) {
	if _, err := NewSealer("a", make([]byte, 16)); err == nil {
		t.Error("a short key was taken")
	}
	if _, err := NewSealer("a"); err == nil {
		t.Error("no key was taken")
	}
	if _, err := NewSealer("a", slices.Repeat([][]byte{make([]byte, KeySize)}, MaxKeys+1)...); err == nil {
		t.Error("five keys were taken")
	}
	if _, err := NewSealer("", make([]byte, KeySize)); err == nil {
		t.Error("no server was taken")
	}
}

// Whatever opens is an id that was sealed for the caller, in the one spelling that it has: nothing else has its
// authentication tag. Workers make seeds of their own, with other nonces, so what opened is told by what it says.
func FuzzOpen(f *testing.F) {
	const inner = "inner1" // of a length whose base64 has bits to spare
	s := newSealer(f, "github", 1)
	sealed, err := s.Seal(Session{ID: inner, Opened: time.Now()}, "https://i", "alice")
	if err != nil {
		f.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := len(sealed) - 1
	next := strings.IndexByte(alphabet, sealed[end]) + 1 // differs in a bit to spare
	f.Add(sealed)
	f.Add(sealed[:end] + alphabet[next:next+1])
	f.Add("s2.AAAA")
	f.Fuzz(func(t *testing.T, in string) {
		if n, err := s.Open(in, "https://i", "alice"); err == nil && n.ID != inner {
			t.Errorf("%q opened as %q", in, n.ID)
		} else if raw, _ := base64.RawURLEncoding.DecodeString(in[min(3, len(in)):]); err == nil && in != prefix+base64.RawURLEncoding.EncodeToString(raw) {
			t.Errorf("%q opened, which is another spelling", in)
		}
		if id, err := s.Open(in, "https://i", "bob"); err == nil {
			t.Errorf("%q opened as %v for somebody else", in, id)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := newSealer(b, "github", 1)
	sealed, _ := s.Seal(began("0123456789abcdef"), "https://i", "alice")
	for b.Loop() {
		if _, err := s.Open(sealed, "https://i", "alice"); err != nil {
			b.Fatal(err)
		}
	}
}
