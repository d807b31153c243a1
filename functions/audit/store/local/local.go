// Package local keeps audit records in a folder: JSON lines by date and server, as they are in S3, and an index in bbolt. It
// is for one process.
package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"mcpgateway/functions/audit/store"
)

// Buckets of the index: entries by place, places by id and by what they are found by, and how much of each file is there.
var (
	entries = []byte("entries")
	ids     = []byte("ids")
	files   = []byte("files")
)

// lockPatience is how long another process may take to let go of the index.
const lockPatience = 5 * time.Second

// Store is a folder. It implements store.Store.
type Store struct {
	folder string
	db     *bolt.DB
}

// Open opens a folder, and makes it where there is none.
func Open(folder string) (*Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("open audit store: %w", err)
	}
	db, err := bolt.Open(filepath.Join(folder, "index.db"), 0o600, &bolt.Options{Timeout: lockPatience})
	if err != nil {
		return nil, fmt.Errorf("open audit store: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		all := [][]byte{entries, ids, files}
		for _, i := range store.Indexes {
			all = append(all, []byte(i.Name))
		}
		for _, name := range all {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit store: %w", err), db.Close())
	}
	return &Store{folder: folder, db: db}, nil
}

// Close closes the index.
func (s *Store) Close() error { return s.db.Close() }

// Add implements store.Store. A file's lines are on disk before the index says so, and what it does not say is cut off: a
// process that ends in between leaves no record twice.
func (s *Store) Add(_ context.Context, b store.Batch) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		lines := map[string]*bytes.Buffer{}
		for i := range b.Records {
			r := &b.Records[i]
			if tx.Bucket(ids).Get([]byte(r.Entry.Key())) != nil {
				continue
			}
			if err := index(tx, &r.Entry); err != nil {
				return err
			}
			name := store.Place(&r.Entry)
			if lines[name] == nil {
				lines[name] = &bytes.Buffer{}
			}
			lines[name].Write(r.Line)
			lines[name].WriteByte('\n')
		}
		for name, text := range lines {
			if err := s.append(tx, name, text.Bytes()); err != nil {
				return fmt.Errorf("keep audit records: %w", err)
			}
		}
		return nil
	})
}

func index(tx *bolt.Tx, e *store.Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	at := []byte(e.At())
	problems := []error{tx.Bucket(ids).Put([]byte(e.Key()), at), tx.Bucket(entries).Put(at, text)}
	for _, i := range store.Indexes {
		if of := i.Of(e); of != "" {
			problems = append(problems, tx.Bucket([]byte(i.Name)).Put(row(of, string(at)), nil))
		}
	}
	return errors.Join(problems...)
}

// row is a key of an index: what is found by has a length before it, so that none is the beginning of another.
func row(of, at string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(of))), of+at...)
}

// append writes to a file after what the index says is in it.
func (s *Store) append(tx *bolt.Tx, name string, text []byte) error {
	path := filepath.Join(s.folder, filepath.FromSlash(name), "records.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var length uint64
	if known := tx.Bucket(files).Get([]byte(name)); known != nil {
		length = binary.BigEndian.Uint64(known)
	}
	if err := f.Truncate(int64(length)); err != nil {
		return err
	}
	if _, err := f.WriteAt(text, int64(length)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return tx.Bucket(files).Put([]byte(name), binary.BigEndian.AppendUint64(nil, length+uint64(len(text))))
}

// Find implements store.Store.
func (s *Store) Find(ctx context.Context, q store.Query) (p store.Page, err error) {
	by, narrow := store.Pick(&q)
	name, of := entries, []byte(nil)
	if narrow {
		name, of = []byte(by.Name), row(by.In(&q), "")
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		c, first := tx.Bucket(name).Cursor(), append(bytes.Clone(of), store.At(q.From)...)
		for k := before(c, append(bytes.Clone(of), q.Before()...)); k != nil && bytes.HasPrefix(k, of) && bytes.Compare(k, first) >= 0; k, _ = c.Prev() {
			if err := ctx.Err(); err != nil {
				return err
			}
			var e store.Entry
			if err := json.Unmarshal(tx.Bucket(entries).Get(k[len(of):]), &e); err != nil {
				return fmt.Errorf("read audit index: %w", err)
			}
			if !q.Matches(&e) {
				continue
			}
			if len(p.Entries) == q.Limit {
				p.Next = p.Entries[q.Limit-1].At()
				return nil
			}
			p.Entries = append(p.Entries, e)
		}
		return nil
	})
	return p, err
}

// before moves a cursor to the last key before one.
func before(c *bolt.Cursor, key []byte) []byte {
	if k, _ := c.Seek(key); k == nil {
		k, _ = c.Last()
		return k
	}
	k, _ := c.Prev()
	return k
}

// Sweep removes what is older than a time: whole days of files, and their entries.
func (s *Store) Sweep(older time.Time) error {
	day := store.Day(store.At(older))
	for {
		swept, err := s.sweep([]byte(day))
		if err != nil {
			return fmt.Errorf("sweep audit store: %w", err)
		}
		if swept == 0 {
			break
		}
	}
	folders, err := filepath.Glob(filepath.Join(s.folder, store.Folder, "date=*"))
	if err != nil {
		return err
	}
	for _, f := range folders {
		if date := strings.TrimPrefix(filepath.Base(f), "date="); date < day {
			if err := os.RemoveAll(f); err != nil {
				return fmt.Errorf("sweep audit store: %w", err)
			}
		}
	}
	return nil
}

// maxSwept bounds one transaction of a sweep: others wait for it.
const maxSwept = 1000

func (s *Store) sweep(day []byte) (swept int, err error) {
	err = s.db.Update(func(tx *bolt.Tx) error {
		var old []store.Entry
		c := tx.Bucket(entries).Cursor()
		for k, v := c.First(); k != nil && bytes.Compare(k, day) < 0 && len(old) < maxSwept; k, v = c.Next() {
			var e store.Entry
			if err := json.Unmarshal(v, &e); err != nil {
				return err
			}
			old = append(old, e)
		}
		for i := range old {
			e := &old[i]
			problems := []error{tx.Bucket(ids).Delete([]byte(e.Key())), tx.Bucket(entries).Delete([]byte(e.At())), tx.Bucket(files).Delete([]byte(store.Place(e)))}
			for _, i := range store.Indexes {
				problems = append(problems, tx.Bucket([]byte(i.Name)).Delete(row(i.Of(e), e.At())))
			}
			if err := errors.Join(problems...); err != nil {
				return err
			}
		}
		swept = len(old)
		return nil
	})
	return swept, err
}
