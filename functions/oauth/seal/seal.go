// Package seal encrypts what the authorization server keeps in other hands, a browser's cookie or the store, and reads
// again itself.
//
// There is one key for all, and every use names its purpose: what was sealed for one does not open for another. It does
// not say when something was sealed, or that it is used once; who needs that keeps it inside.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"mcpgateway/internal/base64url"
)

// KeySize is how many random bytes make a key.
const KeySize = 32

// ErrForeign says that something was not sealed here for this purpose, or was changed since.
var ErrForeign = errors.New("seal: it was not sealed here")

// Sealer seals and opens. It is safe for concurrent use.
type Sealer struct {
	aead cipher.AEAD
	mac  []byte
}

// New makes a Sealer of a key.
func New(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("seal: a key of %d bytes instead of %d", len(key), KeySize)
	}
	encrypt, err := hkdf.Key(sha256.New, key, nil, "mcpgateway oauth seal", KeySize)
	if err != nil {
		return nil, err
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "mcpgateway oauth mac", KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(encrypt)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Sealer{aead: aead, mac: mac}, err
}

// Seal encrypts, as text that fits into a cookie or a URL.
func (s *Sealer) Seal(purpose string, plain []byte) string {
	return base64url.Encode(s.aead.Seal(nil, nil, plain, []byte(purpose)))
}

// Open reads what Seal made for the same purpose, or returns ErrForeign.
func (s *Sealer) Open(purpose, sealed string) ([]byte, error) {
	data, err := base64url.Decode(sealed)
	if err != nil {
		return nil, ErrForeign
	}
	plain, err := s.aead.Open(nil, nil, data, []byte(purpose))
	if err != nil {
		return nil, ErrForeign
	}
	return plain, nil
}

// Derive makes a secret of 32 bytes of another one: the same each time, and nothing that anybody else could make.
func (s *Sealer) Derive(purpose, from string) []byte {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte{byte(len(purpose) >> 8), byte(len(purpose))})
	h.Write([]byte(purpose + from))
	return h.Sum(nil)
}

// Random is a secret of 32 random bytes as text.
func Random() string {
	b := make([]byte, 32)
	rand.Read(b) //nolint:errcheck // it never fails
	return base64url.Encode(b)
}

// Hash is what is kept of a secret that others hold: it has 256 random bits, so no salt is needed.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
