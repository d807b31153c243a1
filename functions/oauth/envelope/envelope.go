// Package envelope encrypts records with a key of their own each, which a key-encryption key wraps: the one of a file, or one
// that does not leave AWS KMS.
//
// Every record names what it is. What was encrypted as one does not open as another, so that whoever writes to the store can
// give nobody somebody else's. The package keeps nothing.
package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrForeign says that a record was not encrypted here as what it is taken for, or was changed since. Other errors say that the
// key-encryption key could not be asked.
var ErrForeign = errors.New("envelope: it was not encrypted here")

// KeySize is that of all keys, in bytes: AES-256.
const KeySize = 32

// Label says what a record is. It is not secret: KMS logs it.
type Label map[string]string

// KEK is a key-encryption key.
type KEK interface {
	// NewKey makes a data key, and wraps it for a label.
	NewKey(ctx context.Context, l Label) (key, wrapped []byte, err error)
	// Unwrap returns a data key that was wrapped for the same label, or ErrForeign.
	Unwrap(ctx context.Context, wrapped []byte, l Label) (key []byte, err error)
}

// Sealed is an encrypted record.
type Sealed struct {
	Key  []byte `json:"key"` // wrapped
	Text []byte `json:"text"`
}

// Envelope is what a record will be encrypted in. It is made first where what is to be encrypted cannot be had twice.
type Envelope struct {
	aead    cipher.AEAD
	wrapped []byte
	label   Label
}

// New makes an envelope, with a data key of its own.
func New(ctx context.Context, k KEK, l Label) (*Envelope, error) {
	key, wrapped, err := k.NewKey(ctx, l)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	return &Envelope{aead, wrapped, l}, err
}

// Seal encrypts the record.
func (e *Envelope) Seal(plain []byte) Sealed {
	return Sealed{Key: e.wrapped, Text: e.aead.Seal(nil, nil, plain, e.label.bytes())}
}

// Key is the wrapped data key, which no other envelope has.
func (e *Envelope) Key() []byte { return e.wrapped }

// Open decrypts what Seal encrypted under the same label, or returns ErrForeign.
func Open(ctx context.Context, k KEK, l Label, s Sealed) ([]byte, error) {
	key, err := k.Unwrap(ctx, s.Key, l)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, s.Text, l.bytes())
	if err != nil {
		return nil, ErrForeign
	}
	return plain, nil
}

// newAEAD refuses keys of other sizes: whoever wraps them could choose a weaker cipher.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("envelope: a data key of %d bytes instead of %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// bytes are a label's, in one spelling.
func (l Label) bytes() []byte {
	b, _ := json.Marshal(l) // texts only, in the order of their names
	return b
}
