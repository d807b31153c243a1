// Package spool keeps records on disk until somebody else has them: append-only files in a private folder, and marks of
// how far they were delivered.
//
// What Append took survives a kill of the process, since it is in the kernel's hands; Sync, which its owner calls every
// so often, has it survive the machine as well. A batch that was read to be sent is read again with the same records and
// the same key, also by another process, until it is Done: whoever receives it twice can know. The package sends nothing.
package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Errors that a caller branches on.
var (
	ErrFull = errors.New("the spool is full")
	ErrBusy = errors.New("the spool is another process's")
)

// segmentBytes is the size after which a new file is begun; a spool that may keep little has smaller ones.
const segmentBytes = 4 << 20

// MaxRecord bounds one record, in bytes.
const MaxRecord = segmentBytes - frameBytes

// Config is what a Spool needs; both fields are required.
type Config struct {
	Folder   string // private to the spool; made where it is missing
	MaxBytes int64  // of all that is kept; a record that does not fit is refused
}

// Spool is one folder of records. Append, Sync and Bytes may be called concurrently; what reads and marks is for one
// goroutine at a time.
type Spool struct {
	config Config
	lock   *os.File
	marks  *marksFile

	mu       sync.Mutex
	segments []segment  // oldest first
	active   *os.File   // the last segment where this process appends to it
	unsynced []*os.File // segments that are appended to no more, and may be removed already
	dirty    bool
}

// segment is one file of records, named by its number.
type segment struct {
	number uint64
	size   int64 // up to which it holds whole records, where this process wrote it; the file's size otherwise
}

// Position is a place in a spool. Places compare in the order of records; the zero Position is before all.
type Position struct {
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
}

// After tells whether p comes later than o.
func (p Position) After(o Position) bool {
	return p.Segment > o.Segment || p.Segment == o.Segment && p.Offset > o.Offset
}

// Open takes a folder over, with what is left in it. The error is ErrBusy where another process has it.
func Open(c Config) (*Spool, error) {
	if c.Folder == "" || c.MaxBytes <= 0 {
		return nil, errors.New("spool: folder and bound are required")
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := takeLock(filepath.Join(c.Folder, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{config: c, lock: lock}
	if s.segments, err = listSegments(c.Folder); err == nil {
		s.marks, err = openMarks(filepath.Join(c.Folder, "marks"))
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s.forget()
	return s, nil
}

// takeLock locks a file that nobody removes while it is locked.
func takeLock(path string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		lock.Close()
		return nil, ErrBusy
	}
	// Whoever had it may have removed the folder between our open and our lock.
	mine, err := lock.Stat()
	named, err2 := os.Stat(path)
	if err != nil || err2 != nil || !os.SameFile(mine, named) {
		lock.Close()
		return nil, ErrBusy
	}
	return lock, nil
}

func listSegments(folder string) ([]segment, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var list []segment
	for _, e := range entries {
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), "%016x.records", &n); err != nil || e.Name() != segmentName(n) || !e.Type().IsRegular() || n == 0 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, segment{n, info.Size()})
	}
	slices.SortFunc(list, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return list, nil
}

func segmentName(n uint64) string { return fmt.Sprintf("%016x.records", n) }

func (s *Spool) path(n uint64) string { return filepath.Join(s.config.Folder, segmentName(n)) }

// Append adds records, all or none: JSON without line breaks. It returns the place after them. ErrFull says that they
// do not fit; another error comes from the disk, which may be full as well.
func (s *Spool) Append(records [][]byte) (Position, error) {
	size := 0
	for _, r := range records {
		size += frameBytes + len(r)
	}
	framed := make([]byte, 0, size)
	for _, r := range records {
		if len(r) > MaxRecord {
			return Position{}, fmt.Errorf("append to spool: a record of %d bytes", len(r))
		}
		framed = appendFrame(framed, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes()+int64(len(framed)) > s.config.MaxBytes {
		return Position{}, ErrFull
	}
	if err := s.room(); err != nil {
		return Position{}, fmt.Errorf("append to spool: %w", err)
	}
	last := &s.segments[len(s.segments)-1]
	if _, err := s.active.Write(framed); err != nil {
		// Half a record would make the next one unreadable. Cutting it off needs no room on the disk.
		if s.active.Truncate(last.size) != nil {
			s.retire()
		}
		return Position{}, fmt.Errorf("append to spool: %w", err)
	}
	last.size += int64(len(framed))
	s.dirty = true
	return Position{last.number, last.size}, nil
}

// room has the active segment be one with room. The caller holds mu.
func (s *Spool) room() error {
	if s.active != nil && s.segments[len(s.segments)-1].size < min(segmentBytes, s.config.MaxBytes/4) {
		return nil
	}
	next := s.marks.delivered().Segment + 1
	if n := len(s.segments); n > 0 {
		next = max(next, s.segments[n-1].number+1)
	}
	// Never one that was there: what another process wrote may end in half a record.
	f, err := os.OpenFile(s.path(next), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.retire()
	s.active = f
	s.segments = append(s.segments, segment{number: next})
	return nil
}

// retire appends no more to the active segment. The caller holds mu.
func (s *Spool) retire() {
	if s.active != nil {
		s.unsynced = append(s.unsynced, s.active)
		s.active = nil
	}
}

// Sync has all that was appended survive the machine. Appending goes on meanwhile.
func (s *Spool) Sync() error {
	s.mu.Lock()
	retired, active := s.unsynced, s.active
	if s.unsynced = nil; !s.dirty {
		active = nil
	}
	s.dirty = false
	s.mu.Unlock()
	var problems []error
	for _, f := range retired {
		problems = append(problems, f.Sync(), f.Close())
	}
	if active != nil {
		if err := active.Sync(); !errors.Is(err, os.ErrClosed) { // closed: Close has synced it
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("sync spool: %w", err)
	}
	return nil
}

// bytes counts what is kept. The caller holds mu.
func (s *Spool) bytes() (n int64) {
	for _, g := range s.segments {
		n += g.size
	}
	return n
}

// Bytes counts what is not delivered yet.
func (s *Spool) Bytes() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.marks.delivered()
	for _, g := range s.segments {
		switch {
		case g.number == at.Segment:
			n += max(g.size-at.Offset, 0)
		case g.number > at.Segment:
			n += g.size
		}
	}
	return n
}

// forget removes what was delivered, but for the segment that is appended to.
func (s *Spool) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, live := s.marks.Delivered, uint64(0)
	if s.active != nil {
		live = s.segments[len(s.segments)-1].number
	}
	s.segments = slices.DeleteFunc(s.segments, func(g segment) bool {
		gone := g.number != live && (g.number < at.Segment || g.number == at.Segment && g.size <= at.Offset)
		if gone {
			os.Remove(s.path(g.number))
		}
		return gone
	})
	// A file that is open takes room on the disk, whether it has a name or not.
	s.unsynced = slices.DeleteFunc(s.unsynced, func(f *os.File) bool {
		_, err := os.Lstat(f.Name())
		gone := errors.Is(err, fs.ErrNotExist)
		if gone {
			f.Close()
		}
		return gone
	})
}

// Close syncs and lets go of the folder.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.retire()
	s.mu.Unlock()
	return errors.Join(s.Sync(), s.marks.file.Close(), s.lock.Close())
}

// Remove removes a spool whose records are all delivered, and closes it.
func (s *Spool) Remove() error {
	var problems []error
	for _, name := range []string{"marks", "lock", ""} { // the lock is held on to until nobody can find it
		problems = append(problems, os.Remove(filepath.Join(s.config.Folder, name)))
	}
	return errors.Join(append(problems, s.Close())...)
}
