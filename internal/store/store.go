// Package store keeps what our functions must remember between two requests: grants, codes, clients and keys of the
// authorization server, and what shims remember of sessions.
//
// It is one small interface, so that the same function runs on one machine and in the cloud. Every write says what it
// replaces: that is what makes a code good for one use, whoever else redeems it at the same time. A store knows nothing
// of what it keeps. Nothing in it is worth stealing: tokens are in it as hashes, keys and records as sealed bytes.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// ErrNotFound says that there is no such item, or no longer.
var ErrNotFound = errors.New("store: there is no such item")

// ErrConflict says that the stored item is another than the one that was to be replaced or removed.
var ErrConflict = errors.New("store: the item has changed meanwhile")

// Bounds that every store keeps.
const (
	MaxKey   = 512       // bytes in each half of a key
	MaxValue = 256 << 10 // bytes; DynamoDB takes 400 KB with all names
	MaxList  = 1000      // items that List returns
)

// Key names an item. Items of one Part are listed together.
type Key struct{ Part, Sort string }

// Item is what is kept.
type Item struct {
	Key
	Value   []byte
	Version int64     // counts the writes of the item, from 1; the zero Version is an item that is not there
	Expires time.Time // from then on it is not there, to the second before; the zero time is never
}

// Store keeps items. All of its methods may be called at once, also by several processes where the store is a service.
// Errors other than ErrNotFound and ErrConflict say that the store could not be asked.
type Store interface {
	// Get returns an item, or ErrNotFound.
	Get(ctx context.Context, k Key) (Item, error)
	// List returns the items of a part in the order of Sort, MaxList at most.
	List(ctx context.Context, part string) ([]Item, error)
	// Put writes an item if the stored one has the item's Version (zero: if there is none), and returns it with its new
	// Version. Else it returns ErrConflict.
	Put(ctx context.Context, i Item) (Item, error)
	// Delete removes an item if the stored one has the item's Version, and else returns ErrConflict, also if there is none.
	Delete(ctx context.Context, i Item) error
}

// Check refuses items that not every store could keep. Stores call it; an error is a mistake of the caller's.
func Check(i Item) error {
	switch {
	case i.Part == "" || i.Sort == "" || len(i.Part) > MaxKey || len(i.Sort) > MaxKey:
		return fmt.Errorf("store: both halves of a key need 1 to %d bytes", MaxKey)
	case !utf8.ValidString(i.Part) || !utf8.ValidString(i.Sort):
		return errors.New("store: a key is no text")
	case len(i.Value) > MaxValue:
		return fmt.Errorf("store: a value of %d bytes: at most %d", len(i.Value), MaxValue)
	case i.Version < 0:
		return errors.New("store: a negative version")
	}
	return nil
}
