package sealedtoken

import (
	"bytes"
	"strings"
	"testing"
)

var shared = bytes.Repeat([]byte{7}, 32)

func newSealer(t testing.TB, server string) *Sealer {
	t.Helper()
	s, err := New(Key(shared, server))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealAndOpen(t *testing.T) {
	gateway, shim := newSealer(t, "github"), newSealer(t, "github")
	const value = "Bearer eyJ.payload.signature"
	sealed, proof := gateway.Seal(value)
	if !Sealed(sealed) || Sealed(value) || strings.Contains(sealed, "eyJ") || strings.Contains(sealed, proof) {
		t.Errorf("sealed as %q, proof %q", sealed, proof)
	}
	got, proved, err := shim.Open(sealed)
	if err != nil || got != value || proved != proof || len(proof) != 22 {
		t.Errorf("opened %q, proof %q of %q, %v", got, proved, proof, err)
	}
	if again, other := gateway.Seal(value); again == sealed || other == proof {
		t.Error("the same token is sealed as the same twice: whoever saw one could prove the other")
	}
}

// Only the server's own shim opens what is for it, and only as it was sealed.
func TestOpenRefuses(t *testing.T) {
	sealed, _ := newSealer(t, "github").Seal("Bearer x")
	last := sealed[len(sealed)-3]
	changed := sealed[:len(sealed)-3] + string(last^1) + sealed[len(sealed)-2:]
	for name, c := range map[string]struct{ server, sealed string }{
		"another server": {"gitlab", sealed},
		"changed":        {"github", changed},
		"short":          {"github", "Sealed AAAA"},
		"empty":          {"github", "Sealed "},
		"no base64":      {"github", "Sealed !"},
		"not sealed":     {"github", "Bearer x"},
	} {
		if got, proof, err := newSealer(t, c.server).Open(c.sealed); err == nil || got != "" || proof != "" {
			t.Errorf("%s: %q, %q, %v", name, got, proof, err)
		}
	}
	if _, err := New([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

// Keys differ by server and by what gateway and deployer share.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, shared := range [][]byte{shared, bytes.Repeat([]byte{8}, 32)} {
		for _, server := range []string{"a", "b"} {
			seen[string(Key(shared, server))] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d keys of four", len(seen))
	}
}

// Nothing but what was sealed opens, whatever a request holds.
func FuzzOpen(f *testing.F) {
	s := newSealer(f, "github")
	sealed, _ := s.Seal("Bearer x")
	for _, text := range []string{sealed, "Sealed ", "Bearer x", sealed[:len(sealed)-4], sealed + "\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, proof, err := s.Open(text)
		if err == nil && (got != "Bearer x" || strings.Trim(text, "\r\n") != text) {
			t.Errorf("%q opened as %q, proof %q", text, got, proof)
		}
	})
}

// BenchmarkSealAndOpen is what a call costs gateway and shim together.
func BenchmarkSealAndOpen(b *testing.B) {
	gateway, shim := newSealer(b, "github"), newSealer(b, "github")
	token := "Bearer " + strings.Repeat("x", 1000)
	for b.Loop() {
		sealed, _ := gateway.Seal(token)
		if _, _, err := shim.Open(sealed); err != nil {
			b.Fatal(err)
		}
	}
}
