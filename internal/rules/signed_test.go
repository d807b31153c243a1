package rules

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
)

var sample = Rules{
	Version:   1763800000000,
	Server:    "github",
	Resources: []string{"https://mcp.example.com/mcp-connect/github"},
	Issuers: []identity.Issuer{{
		Name: "main", URL: "https://login.example.com", Audiences: []string{"{resource}"},
		Keys: json.RawMessage(`{"keys":[{"kty":"OKP","future":1}]}`),
	}},
	Policies: []policy.Policy{{
		Name: "engineers", Allow: &policy.Subjects{Groups: []string{"engineering"}}, Servers: []string{"github"},
	}},
}

func newKey(t testing.TB, fill byte) ed25519.PrivateKey {
	t.Helper()
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// sealed signs any bytes as a rules document, which Sign does only for rules.
func sealed(key ed25519.PrivateKey, body string) []byte {
	signature := ed25519.Sign(key, []byte(format+"\n"+body))
	return []byte(format + " " + base64.StdEncoding.EncodeToString(signature) + "\n" + body)
}

func TestSignOpen(t *testing.T) {
	key := newKey(t, 1)
	signed, err := Sign(key, sample)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(public(key), signed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Errorf("opened rules differ (-signed +opened):\n%s", diff)
	}
}

func TestSignRefuses(t *testing.T) {
	big := sample
	big.Resources = []string{strings.Repeat("x", MaxBytes)}
	for name, c := range map[string]struct {
		key   ed25519.PrivateKey
		rules Rules
		want  string
	}{
		"no key":     {nil, sample, "not an Ed25519 private key"},
		"no server":  {newKey(t, 1), Rules{Version: 1}, "no server"},
		"no version": {newKey(t, 1), Rules{Server: "a"}, "no version"},
		"too big":    {newKey(t, 1), big, "the limit is"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Sign(c.key, c.rules); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	key := newKey(t, 1)
	signed, err := Sign(key, sample)
	if err != nil {
		t.Fatal(err)
	}
	body := string(signed[bytes.IndexByte(signed, '\n')+1:])
	rawSignature := ed25519.Sign(key, []byte(body))
	for name, c := range map[string]struct {
		signed []byte
		want   string
	}{
		"nothing":             {nil, "not a mcpgateway-rules-1"},
		"bare JSON":           {[]byte(body), "not a mcpgateway-rules-1"},
		"another format":      {[]byte(strings.Replace(string(signed), "rules-1", "rules-2", 1)), "not a mcpgateway-rules-1"},
		"no base64":           {[]byte(format + " " + strings.Repeat("!", signatureLen) + "\n{}"), "not a mcpgateway-rules-1"},
		"no body":             {signed[:bytes.IndexByte(signed, '\n')], "not a mcpgateway-rules-1"},
		"one byte changed":    {[]byte(strings.Replace(string(signed), "engineering", "engineerinG", 1)), "signature"},
		"one byte more":       {append(bytes.Clone(signed), ' '), "signature"},
		"cut short":           {signed[:len(signed)-1], "signature"},
		"another key":         {sealed(newKey(t, 2), body), "signature"},
		"signed without name": {[]byte(format + " " + base64.StdEncoding.EncodeToString(rawSignature) + "\n" + body), "signature"},
		"over the limit":      {sealed(key, `{"server":"a","version":1}`+strings.Repeat(" ", MaxBytes)), "over"},
		"unknown field":       {sealed(key, `{"server":"a","version":1,"quotas":[]}`), `unknown field "quotas"`},
		"unknown inner field": {sealed(key, `{"server":"a","version":1,"policies":[{"name":"x","unless":"y"}]}`), `unknown field "unless"`},
		"two documents":       {sealed(key, `{"server":"a","version":1}{}`), "bytes after"},
		"no server":           {sealed(key, `{"version":1}`), "no server"},
		"no version":          {sealed(key, `{"server":"a"}`), "no version"},
		"not an object":       {sealed(key, `[]`), "open rules"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Open(public(key), c.signed)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if diff := cmp.Diff(Rules{}, got); diff != "" {
				t.Errorf("rules came with the error:\n%s", diff)
			}
		})
	}
	if _, err := Open(nil, signed); err == nil {
		t.Error("opened without a key")
	}
}

// FuzzOpen proves that no bytes but signed ones are opened, and that signed ones never make Open panic.
func FuzzOpen(f *testing.F) {
	key := newKey(f, 1)
	signed, err := Sign(key, sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add(signed[len(linePrefix)+signatureLen+1:])
	f.Add([]byte(`{"server":"a","version":1,"issuers":[{"keys":{}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Open(public(key), data); err == nil && !bytes.Equal(data, signed) {
			t.Fatalf("opened bytes that were never signed: %+v", r)
		}
		r, err := Open(public(key), sealed(key, string(data)))
		if err != nil {
			return
		}
		again, err := Sign(key, r)
		if err != nil {
			t.Fatalf("opened rules cannot be signed again: %v", err)
		}
		if _, err := Open(public(key), again); err != nil {
			t.Fatalf("opened rules do not survive a second signing: %v", err)
		}
	})
}
