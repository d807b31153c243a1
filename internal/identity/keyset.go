package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys    = 100
	minRSABits = 2048 // RFC 7518 section 3.3; go-jose refuses more than 4096
)

// keySet is the keys of an issuer that may verify tokens. It does not change.
type keySet struct {
	keys []jose.JSONWebKey
	raw  json.RawMessage // as a JSON Web Key Set, in one form: equal sets have equal bytes
}

// parseKeySet reads a JSON Web Key Set (RFC 7517 section 5) and leaves out every key that is unusable or unsafe. A set
// without keys is valid: the issuer has withdrawn them.
func parseKeySet(document []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if doc.Keys == nil {
		return nil, errors.New(`read key set: it has no "keys"`)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("read key set: more than %d keys", maxKeys)
	}
	encoded := make(map[string]jose.JSONWebKey)
	for _, k := range doc.Keys {
		key, ok := parseKey(k)
		if !ok {
			continue
		}
		text, err := json.Marshal(key)
		if err != nil {
			return nil, fmt.Errorf("read key set: %w", err)
		}
		encoded[string(text)] = key
	}
	return newKeySet(encoded), nil
}

// newKeySet takes keys by their JSON text.
func newKeySet(encoded map[string]jose.JSONWebKey) *keySet {
	var set keySet
	var texts [][]byte
	for text := range encoded {
		texts = append(texts, []byte(text))
	}
	slices.SortFunc(texts, bytes.Compare)
	for _, text := range texts {
		set.keys = append(set.keys, encoded[string(text)])
	}
	set.raw = slices.Concat([]byte(`{"keys":[`), bytes.Join(texts, []byte(",")), []byte(`]}`))
	return &set
}

// parseKey reads one key; not ok are keys of unknown kinds, for encryption or other algorithms, symmetric ones, weak
// ones, and private ones (whoever publishes them has lost them).
func parseKey(text []byte) (jose.JSONWebKey, bool) {
	var k jose.JSONWebKey
	if k.UnmarshalJSON(text) != nil || !k.Valid() || (k.Use != "" && k.Use != "sig") {
		return jose.JSONWebKey{}, false
	}
	if rsaKey, ok := k.Key.(*rsa.PublicKey); ok && rsaKey.N.BitLen() < minRSABits {
		return jose.JSONWebKey{}, false
	}
	if !slices.ContainsFunc(algorithms, func(a jose.SignatureAlgorithm) bool { return fits(k, a) }) {
		return jose.JSONWebKey{}, false
	}
	// Certificates are not kept: that the issuer publishes the key is what makes it trusted.
	return jose.JSONWebKey{Key: k.Key, KeyID: k.KeyID, Algorithm: k.Algorithm, Use: k.Use}, true
}

// curves ties each ECDSA algorithm to its curve (RFC 7518 section 3.4).
var curves = map[jose.SignatureAlgorithm]string{jose.ES256: "P-256", jose.ES384: "P-384", jose.ES512: "P-521"}

// fits says whether the key is a public one that is meant for the algorithm.
func fits(k jose.JSONWebKey, a jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(a) {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return a[:2] == "RS" || a[:2] == "PS"
	case *ecdsa.PublicKey:
		return key.Curve.Params().Name == curves[a]
	case ed25519.PublicKey:
		return a == jose.EdDSA
	default:
		return false
	}
}

// verify returns the payload if a key of the set signed it. known says whether the set has a key that the token can
// mean: the one that it names, or the only one that fits where it names none.
func (s *keySet) verify(token *jose.JSONWebSignature) (payload []byte, known bool) {
	h := token.Signatures[0].Protected
	var candidates []jose.JSONWebKey
	for _, k := range s.keys {
		if fits(k, jose.SignatureAlgorithm(h.Algorithm)) && (h.KeyID == "" || h.KeyID == k.KeyID) {
			candidates = append(candidates, k)
		}
	}
	if h.KeyID == "" && len(candidates) > 1 {
		return nil, false
	}
	for _, k := range candidates {
		if payload, err := token.Verify(k.Key); err == nil {
			return payload, true
		}
	}
	return nil, len(candidates) > 0
}

// signature lets go-oidc verify one token with our keys. It keeps the error, of which go-oidc keeps only the text.
type signature struct {
	source  *keySource
	keys    *keySet
	payload []byte
	err     error
}

// VerifySignature implements oidc.KeySet.
func (s *signature) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	parsed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		s.err = errMalformed
		return nil, s.err
	}
	s.payload, s.keys, s.err = s.source.verify(ctx, parsed)
	return s.payload, s.err
}
