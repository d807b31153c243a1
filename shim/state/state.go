// Package state has what a client asked of its session outlive the server's pod: the log level, the resources that it
// subscribed to, and that it ended the session. It is kept in a record of the session store (functions/sessions), sealed with
// the keys of session ids.
//
// A change is written once, before the answer to it leaves. A record is read once in a life of the shim, when a session comes
// that began in another one; a session that never changed anything is never written.
//
// The store may be down. Calls go on then: nothing waits for it longer than patience, and for a pause after it failed nothing
// waits at all. What was changed holds here, and is written when the store is back; what was not read is read at the session's
// next call, and restored then. So a session that its client ended is over at once in this life, and in the next as soon as the
// store can say so. What is still not written when the shim leaves is lost, and the log says so.
//
// It decides nothing about requests, and says nothing to the server: that is package forward's.
package state

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Bounds of a state. What is beyond them holds as long as the pod, as without a store.
const (
	maxLevel = 64       // bytes
	maxURIs  = 256      // subscriptions
	maxURI   = 2 << 10  // bytes of one
	maxText  = 32 << 10 // bytes of all
)

// State is what a session's client asked for.
type State struct {
	Level string   // of log messages; empty: none was asked for
	URIs  []string // of resources, in the order in which it subscribed
	Ended bool     // it ended the session, for ever
}

// Kind is what a change is of.
type Kind uint8

// The changes that there are (MCP 2025-11-25: logging, resources, transports).
const (
	Level       Kind = iota // logging/setLevel
	Subscribe               // resources/subscribe
	Unsubscribe             // resources/unsubscribe
	End                     // DELETE
)

// Change is one thing that a client asked for, and got.
type Change struct {
	Kind
	Value string // the level, or the resource's URI
}

// errBounds says that a change cannot be kept.
var errBounds = errors.New("it is more than a record holds")

// with is the state after a change. An error says that it stays as it was.
func (s State) with(c Change) (State, error) {
	switch c.Kind {
	case End:
		return State{Ended: true}, nil // whatever it was
	case Level:
		if len(c.Value) > maxLevel {
			return s, errBounds
		}
		s.Level = c.Value
	case Subscribe:
		if len(c.Value) > maxURI || len(s.URIs) == maxURIs || s.size()+len(c.Value) > maxText {
			return s, errBounds
		}
		if !slices.Contains(s.URIs, c.Value) {
			s.URIs = append(slices.Clone(s.URIs), c.Value)
		}
	case Unsubscribe:
		s.URIs = slices.DeleteFunc(slices.Clone(s.URIs), func(u string) bool { return u == c.Value })
	}
	if s.Ended {
		return State{Ended: true}, nil
	}
	return s, nil
}

func (s State) size() (n int) {
	for _, u := range s.URIs {
		n += len(u)
	}
	return n
}

func (s State) equal(other State) bool {
	return s.Level == other.Level && s.Ended == other.Ended && slices.Equal(s.URIs, other.URIs)
}

// The first byte of a record.
const (
	formatOpen  = 1
	formatEnded = 2
)

// plain is a record before it is sealed: texts, each after its length.
func (s State) plain() []byte {
	if s.Ended {
		return []byte{formatEnded}
	}
	out := append([]byte{formatOpen, byte(len(s.Level))}, s.Level...) //nolint:gosec // maxLevel at most
	for _, u := range s.URIs {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(u))), u...) //nolint:gosec // maxURI at most
	}
	return out
}

// errFormat is of what plain did not make.
var errFormat = errors.New("a record that is none")

// readPlain reads what plain made, or another version of this program: it keeps the bounds of this one all the same.
func readPlain(in []byte) (s State, err error) {
	if len(in) == 1 && in[0] == formatEnded {
		return State{Ended: true}, nil
	}
	if len(in) < 2 || in[0] != formatOpen || int(in[1]) > len(in)-2 || in[1] > maxLevel {
		return s, errFormat
	}
	level, rest := int(in[1]), in[2:]
	s.Level, rest = string(rest[:level]), rest[level:]
	for len(rest) > 0 {
		if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 {
			return State{}, errFormat
		}
		n := int(binary.BigEndian.Uint16(rest))
		before := len(s.URIs)
		if s, err = s.with(Change{Subscribe, string(rest[2 : 2+n])}); err != nil || len(s.URIs) == before {
			return State{}, errFormat
		}
		rest = rest[2+n:]
	}
	return s, nil
}
