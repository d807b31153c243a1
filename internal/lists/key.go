package lists

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcpgateway/internal/base64url"
	"mcpgateway/internal/secret"
)

// KeySize is the length of the key in bytes that the gateway shares with the shim of one server (sealedtoken.Key).
const KeySize = 32

// format begins what is sealed. Another is of another version.
const format = "mcpgateway-lists-1\n"

// prefix begins ids of sessions.
const prefix = "g1."

// Key seals and opens what is of one server (AES-256-GCM): only who has it made what it opens. It may be used concurrently.
type Key struct {
	server   string
	snapshot cipher.AEAD
	session  cipher.AEAD
	reader   secret.Text // what whoever reads the snapshot shows: nobody else is told even that there is one
}

// NewKey makes the key of a server from what gateway and shim share. Each use has a part of its own (HKDF, RFC 5869).
func NewKey(shared []byte, server string) (*Key, error) {
	if len(shared) != KeySize || server == "" {
		return nil, fmt.Errorf("key of lists: %d bytes and a server are required", KeySize)
	}
	k := &Key{server: server}
	var err error
	if k.snapshot, err = part(shared, "lists: snapshot"); err != nil {
		return nil, err
	}
	if k.session, err = part(shared, "lists: session"); err != nil {
		return nil, err
	}
	reader, err := hkdf.Expand(sha256.New, shared, "lists: reader", 32)
	k.reader = secret.New(base64url.Encode(reader))
	return k, err
}

func part(shared []byte, use string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, shared, use, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal makes of a snapshot what may be kept anywhere.
func (k *Key) Seal(s *Snapshot) ([]byte, error) {
	if s.Server != k.server {
		return nil, errors.New("seal lists: another server's")
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("seal lists: %w", err)
	}
	sealed := append([]byte(format), k.snapshot.Seal(nil, nil, plain, k.bound(format))...)
	if len(sealed) > MaxBytes {
		return nil, fmt.Errorf("seal lists: %d bytes, %d are possible", len(sealed), MaxBytes)
	}
	return sealed, nil
}

// Open reads what Seal made for the same server, if it is not too old.
func (k *Key) Open(sealed []byte, now time.Time) (*Snapshot, error) {
	text, found := bytes.CutPrefix(sealed, []byte(format))
	if !found || len(sealed) > MaxBytes {
		return nil, errors.New("open lists: of an unknown format, or too long")
	}
	plain, err := k.snapshot.Open(nil, nil, text, k.bound(format))
	if err != nil {
		return nil, errors.New("open lists: not sealed by this server's shim")
	}
	var s Snapshot
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("open lists: %w", err)
	}
	if err := s.check(k.server, now); err != nil {
		return nil, fmt.Errorf("open lists: %w", err)
	}
	return &s, nil
}

// Session is what the gateway noted in the id that it gave a client, while the server slept: enough for the shim to begin the
// session with the server.
type Session struct {
	Params  string    `json:"params"`  // the client's, of initialize: as JSON
	Version string    `json:"version"` // of the protocol
	Answer  [8]byte   `json:"answer"`  // as in the snapshot by which the client was answered
	Opened  time.Time `json:"opened"`
}

// MaxSession is how long an id is at most, in characters.
const MaxSession = 1024

// maxSessionAge is how long an id opens.
const maxSessionAge = 30 * 24 * time.Hour

// ErrUnknown is returned for an id that is not the caller's, not this server's, too old, or not the gateway's.
var ErrUnknown = errors.New("unknown session")

// IsSession tells whether an id claims to be the gateway's.
func IsSession(id string) bool { return strings.HasPrefix(id, prefix) }

// SessionName tells ids from each other, where the id itself would let its reader in.
func SessionName(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// SealSession makes the id that the caller gets, in visible ASCII; false where what is to be noted is too long.
func (k *Key) SealSession(s Session, issuer, subject string) (id string, ok bool) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", false
	}
	id = prefix + base64url.Encode(k.session.Seal(nil, nil, plain, k.bound(prefix, issuer, subject)))
	return id, len(id) <= MaxSession
}

// OpenSession returns what the gateway noted, or ErrUnknown.
func (k *Key) OpenSession(id, issuer, subject string, now time.Time) (s Session, err error) {
	encoded, found := strings.CutPrefix(id, prefix)
	if !found || len(id) > MaxSession {
		return s, ErrUnknown
	}
	text, err := base64url.Decode(encoded)
	if err != nil {
		return s, ErrUnknown
	}
	plain, err := k.session.Open(nil, nil, text, k.bound(prefix, issuer, subject))
	if err != nil || json.Unmarshal(plain, &s) != nil || now.Sub(s.Opened) > maxSessionAge {
		return Session{}, ErrUnknown
	}
	return s, nil
}

// bound is the additional data: each part with its length, so that no two lists of parts have the same bytes.
func (k *Key) bound(use string, more ...string) []byte {
	var out []byte
	for _, text := range append([]string{use, k.server}, more...) {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(text))), text...) //nolint:gosec // names and claims are short
	}
	return out
}
