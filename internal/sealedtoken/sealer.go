// Package sealedtoken hides callers' tokens on the way from the gateway to a shim in a cluster, and has the shim prove that
// it is one.
//
// All containers of a pod share its network. A server that takes the port of its shim, or that of Knative's queue-proxy,
// while that is free is sent what was meant for the shim: Knative's activator asks pods that are not ready, too (serving
// 0.50, activator/net). What it then holds opens nothing, and it cannot answer in the shim's place. It can still hand on to
// its own shim what it was sent, as long as the token in it is good.
package sealedtoken

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"mcpgateway/internal/base64url"
)

// KeySize is the length of a server's key in bytes.
const KeySize = 32

// SharedFile is where that key is on one machine, in the folder of secrets: the deployer makes it, and the gateway reads it. In a
// cluster it is deployer.knative.nameKey.
const SharedFile = "gateway.key"

// scheme is what Authorization begins with in place of Bearer.
const scheme = "Sealed "

// Key is a server's part of the key that gateway and deployer share (HKDF, RFC 5869): no shim can open what is another's.
func Key(shared []byte, server string) []byte {
	key, err := hkdf.Key(sha256.New, shared, nil, "mcpgateway caller's token for "+server, KeySize)
	if err != nil {
		panic(err) // only of lengths that SHA-256 cannot make
	}
	return key
}

// Sealer seals and opens what is for one server. It may be used concurrently.
type Sealer struct {
	aead   cipher.AEAD
	proofs []byte // key of proofs
}

// New returns the sealer of a server's key.
func New(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("key of callers' tokens has %d bytes instead of %d", len(key), KeySize)
	}
	encryption, err := hkdf.Expand(sha256.New, key, "encryption", KeySize)
	if err != nil {
		return nil, err
	}
	proofs, err := hkdf.Expand(sha256.New, key, "proof", KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Sealer{aead: aead, proofs: proofs}, err
}

// Seal returns what a request has for Authorization in place of the given value, and what only a shim that opened it can
// answer.
func (s *Sealer) Seal(authorization string) (sealed, proof string) {
	text := s.aead.Seal(nil, nil, []byte(authorization), nil)
	return scheme + base64url.Encode(text), s.prove(text)
}

// Sealed tells whether a value of Authorization claims to be sealed.
func Sealed(authorization string) bool { return strings.HasPrefix(authorization, scheme) }

// Open returns what was sealed, and the proof that it was opened.
func (s *Sealer) Open(sealed string) (authorization, proof string, err error) {
	encoded, ok := strings.CutPrefix(sealed, scheme)
	text, err := base64url.Decode(encoded)
	if err != nil || !ok {
		return "", "", errors.New("the caller's token is not sealed as it should be")
	}
	open, err := s.aead.Open(nil, nil, text, nil)
	if err != nil {
		return "", "", errors.New("the caller's token was sealed with another key than this shim has")
	}
	return string(open), s.prove(text), nil
}

// prove makes the proof of a sealed text. Who holds the text and not the key cannot.
func (s *Sealer) prove(text []byte) string {
	mac := hmac.New(sha256.New, s.proofs)
	mac.Write(text)
	return base64url.Encode(mac.Sum(nil)[:16])
}
