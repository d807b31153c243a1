// Package session seals the session ids of a legacy server, and knows which of them the server behind must be told of
// again. The id that a client holds is encrypted and bound to (issuer, subject, server), so that it opens nothing for
// anyone else and tells nothing about the server; it carries what a server that is new needs to go on with the session.
//
// An id that was not bound was an authorization bypass in other gateways. The package sends nothing.
package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcpgateway/internal/base64url"
)

// KeySize is the length of a sealing key in bytes (AES-256), and MaxKeys how many there may be for one server: the first
// seals, all of them open.
const (
	KeySize = 32
	MaxKeys = 4
)

// MaxAge is how long an id opens after its session began.
const MaxAge = 30 * 24 * time.Hour

const (
	maxID     = 512  // bytes of a server's own id
	maxSealed = 1024 // characters of a sealed one
	overhead  = 28   // bytes that encryption adds: nonce and tag
	maxPlain  = (maxSealed-len(prefix))*3/4 - overhead
)

// prefix is the version of the format.
const prefix = "s2."

// ErrUnknown is returned for an id that is not the caller's, not this server's, too old, or not ours. It must look the same
// as a session that has ended.
var ErrUnknown = errors.New("unknown session")

// Session is what a sealed id says.
type Session struct {
	Name Name // of the sealed id
	ID   string
	Life uint64 // see Living
	Introduction
	Opened time.Time // in whole seconds
}

// Name tells sealed ids from each other.
type Name [16]byte

// Introduction is what client and server told each other first: enough to repeat it to a server that is new.
type Introduction struct {
	Params  string  // the client's, of initialize: as JSON. Empty where they are too long to be kept
	Version string  // of the protocol, that they agreed on
	Answer  [8]byte // begin of the SHA-256 of what the server answered
}

// Sealer seals and opens ids of one server.
type Sealer struct {
	server string
	ring   []cipher.AEAD
}

// NewSealer makes a Sealer for a server from one to MaxKeys keys of 32 random bytes, of which the newest is the first.
func NewSealer(server string, keys ...[]byte) (*Sealer, error) {
	if server == "" || len(keys) == 0 || len(keys) > MaxKeys {
		return nil, fmt.Errorf("seal sessions: a server and 1 to %d keys are required", MaxKeys)
	}
	s := &Sealer{server: server}
	for _, key := range keys {
		if len(key) != KeySize {
			return nil, fmt.Errorf("seal sessions: a key has %d bytes, and needs %d", len(key), KeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("seal sessions: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("seal sessions: %w", err)
		}
		s.ring = append(s.ring, aead)
	}
	return s, nil
}

// Seal makes the id that the caller gets; the session's Name is not used. The result is visible ASCII, as MCP 2025-11-25
// (transports, session management) asks for. Params that do not fit are left out: such a session ends with its server.
func (s *Sealer) Seal(n Session, issuer, subject string) (string, error) {
	if n.ID == "" || len(n.ID) > maxID {
		return "", fmt.Errorf("seal session: the server's id has %d bytes, 1 to %d are possible", len(n.ID), maxID)
	}
	plain := n.plain()
	if len(plain) > maxPlain || len(n.Version) > maxVersion {
		n.Params, n.Version = "", ""
		plain = n.plain()
	}
	return prefix + base64url.Encode(s.ring[0].Seal(nil, nil, plain, s.bound(issuer, subject))), nil
}

// fixed is the length of what stands before the texts, and maxVersion that of a text whose length is one byte.
const (
	fixed      = 8 + 8 + 8 + 2 + 1
	maxVersion = 255
)

func (n *Session) plain() []byte {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, maxPlain), n.Life)
	out = binary.BigEndian.AppendUint64(out, uint64(n.Opened.Unix())) //nolint:gosec // it comes back as it was
	out = append(out, n.Answer[:]...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(n.ID))) //nolint:gosec // maxID at most
	out = append(out, byte(len(n.Version)))                     //nolint:gosec // maxVersion at most, or it is not used
	return append(append(append(out, n.ID...), n.Version...), n.Params...)
}

// readPlain reads what plain made. It is ours, since its authentication tag is good.
func readPlain(in []byte) (n Session, ok bool) {
	if len(in) < fixed {
		return n, false
	}
	n.Life = binary.BigEndian.Uint64(in)
	n.Opened = time.Unix(int64(binary.BigEndian.Uint64(in[8:])), 0) //nolint:gosec // as it was
	copy(n.Answer[:], in[16:])
	id, version, rest := int(binary.BigEndian.Uint16(in[24:])), int(in[26]), string(in[fixed:])
	if id == 0 || len(rest) < id+version {
		return n, false
	}
	n.ID, n.Version, n.Params = rest[:id], rest[id:id+version], rest[id+version:]
	return n, true
}

// Open returns what an id says, or ErrUnknown.
func (s *Sealer) Open(sealed, issuer, subject string) (*Session, error) {
	if len(sealed) > maxSealed || !strings.HasPrefix(sealed, prefix) {
		return nil, ErrUnknown
	}
	raw, err := base64url.Decode(sealed[len(prefix):])
	if err != nil {
		return nil, ErrUnknown
	}
	bound := s.bound(issuer, subject)
	for _, aead := range s.ring {
		plain, err := aead.Open(nil, nil, raw, bound)
		if err != nil {
			continue
		}
		n, ok := readPlain(plain)
		if !ok || time.Since(n.Opened) > MaxAge {
			return nil, ErrUnknown
		}
		sum := sha256.Sum256([]byte(sealed))
		n.Name = Name(sum[:])
		return &n, nil
	}
	return nil, ErrUnknown
}

// bound is the additional data: each part with its length, so that no two triples have the same bytes.
func (s *Sealer) bound(issuer, subject string) []byte {
	var out []byte
	for _, part := range []string{prefix, s.server, issuer, subject} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(part))), part...)
	}
	return out
}
