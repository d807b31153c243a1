package envelope

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// File is the key-encryption key of a file of random bytes.
type File struct{ aead cipher.AEAD }

// NewFile makes a File of what the file holds. The key is another one than those that anybody else makes of the same bytes.
func NewFile(secret []byte) (*File, error) {
	if len(secret) < KeySize {
		return nil, fmt.Errorf("envelope: a key file of %d bytes: at least %d", len(secret), KeySize)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "mcpgateway oauth key-encryption key", KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	return &File{aead}, err
}

// NewKey implements KEK.
func (f *File) NewKey(_ context.Context, l Label) (key, wrapped []byte, err error) {
	key = make([]byte, KeySize)
	rand.Read(key) //nolint:errcheck // it never fails
	return key, f.aead.Seal(nil, nil, key, l.bytes()), nil
}

// Unwrap implements KEK.
func (f *File) Unwrap(_ context.Context, wrapped []byte, l Label) ([]byte, error) {
	key, err := f.aead.Open(nil, nil, wrapped, l.bytes())
	if err != nil {
		return nil, ErrForeign
	}
	return key, nil
}
