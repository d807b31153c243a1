// Package bolt is a store in one file of one machine.
//
// It is go.etcd.io/bbolt and not SQLite: what is kept is found by its key and by nothing else, every write is one
// transaction on disk before it returns, and a crash leaves the file whole. SQLite's only pure Go form is eight
// megabytes of translated C for a query language that nobody here needs.
package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"mcpgateway/internal/store"
)

// lockPatience is how long to wait for another process that has the file open.
const lockPatience = 5 * time.Second

// bucket is the file's only one.
var bucket = []byte("items")

// Store is a file. It implements store.Store, for one process at a time.
type Store struct {
	db  *bolt.DB
	now func() time.Time
}

// record is the value in the file.
type record struct {
	Value   []byte    `json:"v"`
	Version int64     `json:"n"`
	Expires time.Time `json:"x,omitzero"`
}

// Open opens the file, or makes it for its owner only. now is the clock; time.Now where nil.
func Open(path string, now func() time.Time) (*Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockPatience})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open store: another process uses %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), db.Close())
	}
	if now == nil {
		now = time.Now
	}
	return &Store{db: db, now: now}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// rowKey joins the halves. Part's length goes first, so that no two keys run into one.
func rowKey(k store.Key) []byte { return append(prefix(k.Part), k.Sort...) }

func prefix(part string) []byte {
	return append([]byte{byte(len(part) >> 8), byte(len(part))}, part...)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, k store.Key) (item store.Item, err error) {
	if err := errors.Join(ctx.Err(), store.Check(store.Item{Key: k})); err != nil {
		return item, err
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		item, err = s.read(tx, k)
		return err
	})
	return item, err
}

// read returns an item that is there and has not expired.
func (s *Store) read(tx *bolt.Tx, k store.Key) (store.Item, error) {
	data := tx.Bucket(bucket).Get(rowKey(k))
	if data == nil {
		return store.Item{}, store.ErrNotFound
	}
	item, err := decode(k, data)
	if err == nil && s.expired(item) {
		return store.Item{}, store.ErrNotFound
	}
	return item, err
}

func decode(k store.Key, data []byte) (store.Item, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return store.Item{}, fmt.Errorf("read store: %w", err)
	}
	return store.Item{Key: k, Value: r.Value, Version: r.Version, Expires: r.Expires}, nil
}

func (s *Store) expired(i store.Item) bool { return !i.Expires.IsZero() && !s.now().Before(i.Expires) }

// List implements store.Store.
func (s *Store) List(ctx context.Context, part string) (items []store.Item, err error) {
	if err := errors.Join(ctx.Err(), store.Check(store.Item{Key: store.Key{Part: part, Sort: "-"}})); err != nil {
		return nil, err
	}
	begin := prefix(part)
	err = s.db.View(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(bucket).Cursor()
		for k, v := cursor.Seek(begin); bytes.HasPrefix(k, begin) && len(items) < store.MaxList; k, v = cursor.Next() {
			item, err := decode(store.Key{Part: part, Sort: string(k[len(begin):])}, v)
			if err != nil {
				return err
			}
			if !s.expired(item) {
				items = append(items, item)
			}
		}
		return nil
	})
	return items, err
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, i store.Item) (store.Item, error) {
	if err := errors.Join(ctx.Err(), store.Check(i)); err != nil {
		return store.Item{}, err
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := s.compare(tx, i); err != nil {
			return err
		}
		i.Version++
		data, err := json.Marshal(record{Value: i.Value, Version: i.Version, Expires: i.Expires})
		if err != nil {
			return err
		}
		return tx.Bucket(bucket).Put(rowKey(i.Key), data)
	})
	return i, err
}

// compare tells whether the stored item is of i's version.
func (s *Store) compare(tx *bolt.Tx, i store.Item) error {
	there, err := s.read(tx, i.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if there.Version != i.Version {
		return store.ErrConflict
	}
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, i store.Item) error {
	if err := errors.Join(ctx.Err(), store.Check(i)); err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		if i.Version == 0 {
			return store.ErrConflict
		}
		if err := s.compare(tx, i); err != nil {
			return err
		}
		return tx.Bucket(bucket).Delete(rowKey(i.Key))
	})
}

// Sweep removes what has expired, so that the file does not grow by what nobody can see.
func (s *Store) Sweep() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		var gone [][]byte
		err := tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			item, err := decode(store.Key{}, v)
			if err == nil && s.expired(item) {
				gone = append(gone, bytes.Clone(k))
			}
			return err
		})
		for _, k := range gone {
			err = errors.Join(err, tx.Bucket(bucket).Delete(k))
		}
		return err
	})
}
