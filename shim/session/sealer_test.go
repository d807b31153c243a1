package session

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func newSealer(t testing.TB, server string, key byte) *Sealer {
	t.Helper()
	s, err := NewSealer(server, bytes.Repeat([]byte{key}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealOpen(t *testing.T) {
	s := newSealer(t, "github", 1)
	for _, id := range []string{"a", strings.Repeat("x", maxID)} {
		sealed, err := s.Seal(id, "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Open(sealed, "https://i", "alice"); err != nil || got != id {
			t.Errorf("got %q, %v", got, err)
		}
		if len(sealed) > 1024 || strings.ContainsFunc(sealed, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is too long or no visible ASCII", sealed)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", maxID+1)} {
		if _, err := s.Seal(id, "https://i", "alice"); err == nil {
			t.Errorf("an id of %d bytes was sealed", len(id))
		}
	}
}

func TestOpenRefusesWhatIsNotTheCallers(t *testing.T) {
	s := newSealer(t, "github", 1)
	sealed, err := s.Seal("inner", "https://i", "alice")
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
			t.Errorf("%s: got %q, %v", c.name, id, err)
		}
	}
}

// Each altered character must close the id: base64 has spare bits that a lenient decoder ignores.
func TestOpenRefusesEveryAlteration(t *testing.T) {
	s := newSealer(t, "github", 1)
	for _, id := range []string{"a", "ab", "abc"} {
		sealed, err := s.Seal(id, "https://i", "alice")
		if err != nil {
			t.Fatal(err)
		}
		for i := range sealed {
			for _, c := range []byte("ABCxyz019-_.~") {
				if altered := sealed[:i] + string(c) + sealed[i+1:]; altered != sealed {
					if got, err := s.Open(altered, "https://i", "alice"); err != ErrUnknown {
						t.Fatalf("%q opened as %q", altered, got)
					}
				}
			}
		}
		for _, altered := range []string{"", "s1.", sealed[3:], sealed + "A", sealed[:len(sealed)-1], sealed + "=", sealed + "\n", "\n" + sealed,
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
	if _, err := NewSealer("", make([]byte, KeySize)); err == nil {
		t.Error("no server was taken")
	}
}

// Whatever opens is an id that was sealed for the caller, in the one spelling that it has: nothing else has its
// authentication tag. Workers make seeds of their own, with other nonces, so what opened is told by what it says.
func FuzzOpen(f *testing.F) {
	const inner = "inner1" // of a length whose base64 has bits to spare
	s := newSealer(f, "github", 1)
	sealed, err := s.Seal(inner, "https://i", "alice")
	if err != nil {
		f.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := len(sealed) - 1
	next := strings.IndexByte(alphabet, sealed[end]) + 1 // differs in a bit to spare
	f.Add(sealed)
	f.Add(sealed[:end] + alphabet[next:next+1])
	f.Add("s1.AAAA")
	f.Fuzz(func(t *testing.T, in string) {
		if id, err := s.Open(in, "https://i", "alice"); err == nil && id != inner {
			t.Errorf("%q opened as %q", in, id)
		} else if raw, _ := base64.RawURLEncoding.DecodeString(in[min(3, len(in)):]); err == nil && in != "s1."+base64.RawURLEncoding.EncodeToString(raw) {
			t.Errorf("%q opened, which is another spelling", in)
		}
		if id, err := s.Open(in, "https://i", "bob"); err == nil {
			t.Errorf("%q opened as %q for somebody else", in, id)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := newSealer(b, "github", 1)
	sealed, _ := s.Seal("0123456789abcdef", "https://i", "alice")
	for b.Loop() {
		if _, err := s.Open(sealed, "https://i", "alice"); err != nil {
			b.Fatal(err)
		}
	}
}
