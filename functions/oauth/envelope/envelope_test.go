package envelope_test

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"mcpgateway/functions/oauth/envelope"
	"mcpgateway/functions/oauth/envelope/envelopetest"
)

var label = envelope.Label{"iss": "https://id.example.com", "sub": "alice", "server": "notes"}

// TestSealed holds for every key-encryption key.
func TestSealed(t *testing.T) {
	file, err := envelope.NewFile(bytes.Repeat([]byte{7}, envelope.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	service := envelope.NewKMS(envelopetest.Key, envelopetest.Start(t).Config(envelopetest.Credentials))
	for name, k := range map[string]envelope.KEK{"file": file, "KMS": service} {
		t.Run(name, func(t *testing.T) { testSealed(t, k) })
	}
}

func testSealed(t *testing.T, k envelope.KEK) {
	plain := []byte("access and refresh token")
	s, err := seal(t, k, label, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := envelope.Open(t.Context(), k, label, s); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%q, %v", got, err)
	}
	again, err := seal(t, k, label, plain)
	if err != nil || bytes.Equal(again.Key, s.Key) || bytes.Contains(s.Text, plain[:6]) {
		t.Errorf("two records share a key, or one is plain: %v", err)
	}
	for name, value := range map[string]string{"sub": "bob", "server": "other", "iss": "https://other.example.com"} {
		other := maps.Clone(label)
		other[name] = value
		if _, err := envelope.Open(t.Context(), k, other, s); !errors.Is(err, envelope.ErrForeign) {
			t.Errorf("%s %s: %v", name, value, err)
		}
	}
	if _, err := envelope.Open(t.Context(), k, label, envelope.Sealed{Key: again.Key, Text: s.Text}); !errors.Is(err, envelope.ErrForeign) {
		t.Errorf("another record's key: %v", err)
	}
	for _, part := range []*[]byte{&s.Key, &s.Text} {
		(*part)[len(*part)-1] ^= 1
		if _, err := envelope.Open(t.Context(), k, label, s); !errors.Is(err, envelope.ErrForeign) {
			t.Errorf("a changed record: %v", err)
		}
		(*part)[len(*part)-1] ^= 1
	}
}

func TestKeyFile(t *testing.T) {
	if _, err := envelope.NewFile(make([]byte, envelope.KeySize-1)); err == nil {
		t.Error("a short key file is taken")
	}
	one, err := envelope.NewFile(bytes.Repeat([]byte{1}, envelope.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	two, err := envelope.NewFile(bytes.Repeat([]byte{2}, envelope.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal(t, one, label, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Open(t.Context(), two, label, s); !errors.Is(err, envelope.ErrForeign) {
		t.Errorf("by another file: %v", err)
	}
}

func seal(t *testing.T, k envelope.KEK, l envelope.Label, plain []byte) (envelope.Sealed, error) {
	e, err := envelope.New(t.Context(), k, l)
	if err != nil {
		return envelope.Sealed{}, err
	}
	return e.Seal(plain), nil
}
