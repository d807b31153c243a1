package session

import (
	"crypto/sha256"

	"mcpgateway/internal/base64url"
)

// A session's record is kept where others may look (package state). It is sealed as ids are, and found by a hash: whoever keeps
// it learns neither whose it is nor what it says, and cannot pass off one for another.

// recordPrefix keeps a record from being taken for anything else that is sealed.
const recordPrefix = "record."

// RecordName is where a session's record is kept: the same for one sealed id, its user and server, and for nothing else.
func (s *Sealer) RecordName(of *Session, issuer, subject string) string {
	sum := sha256.Sum256(s.boundRecord(of, issuer, subject))
	return base64url.Encode(sum[:])
}

// SealRecord seals a session's record.
func (s *Sealer) SealRecord(of *Session, plain []byte, issuer, subject string) []byte {
	return s.ring[0].Seal(nil, nil, plain, s.boundRecord(of, issuer, subject))
}

// OpenRecord returns what was sealed, with any of the keys that ids open with, or ErrUnknown.
func (s *Sealer) OpenRecord(sealed []byte, of *Session, issuer, subject string) ([]byte, error) {
	bound := s.boundRecord(of, issuer, subject)
	for _, aead := range s.ring {
		if plain, err := aead.Open(nil, nil, sealed, bound); err == nil {
			return plain, nil
		}
	}
	return nil, ErrUnknown
}

// boundRecord is the additional data of a record: nothing that is bound otherwise begins so.
func (s *Sealer) boundRecord(of *Session, issuer, subject string) []byte {
	return append(append(s.bound(issuer, subject), recordPrefix...), of.Name[:]...)
}
