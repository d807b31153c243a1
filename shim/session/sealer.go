// Package session seals the session ids of a legacy server: the id that a client holds is encrypted and bound to
// (issuer, subject, server), so that it opens nothing for anyone else and tells nothing about the server.
//
// An id that was not bound was an authorization bypass in other gateways. It says nothing about whether the server
// still knows the session.
package session

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the length of the sealing key in bytes (AES-256).
const KeySize = 32

// maxID bounds a server's own id, so that a sealed one stays below 1 KB.
const maxID = 512

// prefix is the version of the format.
const prefix = "s1."

// ErrUnknown is returned for an id that is not the caller's, not this server's, or not ours. It must look the same as
// a session that has ended.
var ErrUnknown = errors.New("unknown session")

// Sealer seals and opens ids of one server.
type Sealer struct {
	server string
	aead   cipher.AEAD
}

// NewSealer makes a Sealer for a server from 32 random bytes.
func NewSealer(server string, key []byte) (*Sealer, error) {
	if server == "" || len(key) != KeySize {
		return nil, fmt.Errorf("seal sessions: a server and a key of %d bytes are required", KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal sessions: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal sessions: %w", err)
	}
	return &Sealer{server: server, aead: aead}, nil
}

// Seal makes the id that the caller gets for the server's own id. The result is visible ASCII, as MCP 2025-11-25
// (transports, session management) asks for.
func (s *Sealer) Seal(id, issuer, subject string) (string, error) {
	if id == "" || len(id) > maxID {
		return "", fmt.Errorf("seal session: the server's id has %d bytes, 1 to %d are possible", len(id), maxID)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(id), s.bound(issuer, subject))), nil
}

// Open returns the server's own id, or ErrUnknown.
func (s *Sealer) Open(sealed, issuer, subject string) (string, error) {
	if len(sealed) < len(prefix) || len(sealed) > 2*maxID || sealed[:len(prefix)] != prefix {
		return "", ErrUnknown
	}
	// Without Strict the last character has bits that change nothing, and line ends are passed over even with it: an
	// altered id would open.
	if strings.ContainsAny(sealed, "\r\n") {
		return "", ErrUnknown
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed[len(prefix):])
	if err != nil {
		return "", ErrUnknown
	}
	id, err := s.aead.Open(nil, nil, raw, s.bound(issuer, subject))
	if err != nil {
		return "", ErrUnknown
	}
	return string(id), nil
}

// bound is the additional data: each part with its length, so that no two triples have the same bytes.
func (s *Sealer) bound(issuer, subject string) []byte {
	var out []byte
	for _, part := range []string{prefix, s.server, issuer, subject} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(part))), part...)
	}
	return out
}
