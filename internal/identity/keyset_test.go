package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestParseKeySetLeavesOut(t *testing.T) {
	good := newES256(t, "good")
	change := func(k jose.JSONWebKey, changes object) string {
		var o object
		if err := json.Unmarshal(encode(t, k), &o); err != nil {
			t.Fatal(err)
		}
		return string(encode(t, with(o, changes)))
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := newRS256(t, "x", 1024).public()
	for name, key := range map[string]string{
		"weak RSA":              change(weak, nil),
		"symmetric":             `{"kty":"oct","kid":"x","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`,
		"private":               change(jose.JSONWebKey{Key: good.key, KeyID: "x"}, nil),
		"for encryption":        change(good.public(), object{"use": "enc"}),
		"encryption algorithm":  change(newRS256(t, "x", 2048).public(), object{"alg": "RSA-OAEP"}),
		"symmetric algorithm":   change(good.public(), object{"alg": "HS256"}),
		"algorithm not the key": change(good.public(), object{"alg": "RS256"}),
		"curve not the key":     change(good.public(), object{"alg": "ES384"}),
		"secp256k1":             `{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`,
		"P-224":                 fmt.Sprintf(`{"kty":"EC","crv":"P-224","x":%q,"y":%q}`, segment(p224.X.Bytes()), segment(p224.Y.Bytes())),
		"not on the curve":      change(good.public(), object{"x": segment(make([]byte, 32))}),
		"X25519":                `{"kty":"OKP","crv":"X25519","x":"` + segment(make([]byte, 32)) + `"}`,
		"post-quantum":          `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`,
		"unknown type":          `{"kty":"new"}`,
		"no type":               `{}`,
		"no object":             `7`,
		"broken certificate":    change(good.public(), object{"x5c": []string{"AA"}}),
	} {
		t.Run(name, func(t *testing.T) {
			set, err := parseKeySet([]byte(`{"keys":[` + key + `,` + change(good.public(), nil) + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.keys) != 1 || set.keys[0].KeyID != "good" {
				t.Errorf("got %v", set.keys)
			}
		})
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	for name, document := range map[string]string{
		"nothing":       ``,
		"a page":        `<html>`,
		"no keys":       `{}`,
		"null":          `null`,
		"keys null":     `{"keys":null}`,
		"keys a text":   `{"keys":"x"}`,
		"too many keys": `{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if set, err := parseKeySet([]byte(document)); err == nil {
				t.Errorf("got %v", set)
			}
		})
	}
}

func TestTokenWithoutKeyName(t *testing.T) {
	one, two, rs := newES256(t, "a"), newES256(t, "b"), newRS256(t, "c", 2048)
	parse := func(keys ...testKey) *keySet {
		set, err := parseKeySet(snapshotOf(t, keys...))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	header := with(one.header(), object{"kid": nil})
	token, err := jose.ParseSignedCompact(one.mint(t, header, object{"iss": home}), algorithms)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		set   *keySet
		good  bool
		known bool
	}{
		{"the only key that fits", parse(one, rs), true, true},
		{"another key fits", parse(two, rs), false, true},
		{"two fit", parse(one, two), false, false}, // trying all would be work for strangers to give us
		{"none fits", parse(rs), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload, known := tc.set.verify(token)
			if (payload != nil) != tc.good || known != tc.known {
				t.Errorf("got %q, %v", payload, known)
			}
		})
	}
}

func FuzzParseKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Add(encode(f, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{newES256(f, "a").public(), newEdDSA(f, "b").public()}}))
	f.Fuzz(func(t *testing.T, document []byte) {
		set, err := parseKeySet(document)
		if err != nil {
			return
		}
		again, err := parseKeySet(set.raw)
		if err != nil || string(again.raw) != string(set.raw) {
			t.Fatalf("%s becomes %s, %v", set.raw, again.raw, err)
		}
	})
}
