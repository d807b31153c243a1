// Package unitlog keeps what units print: whole lines in files that rotate, and the last ones for whoever asks why a unit
// ended. It reads nothing back.
package unitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Bounds of a unit's log: the file that is written to, and the older ones that are kept.
const (
	logBytes = 16 << 20
	logKept  = 8
)

// File appends lines to path. At maxBytes the file is renamed to path.N, N one more than ever before, and the oldest
// beyond kept are removed: the smallest N that is left tells how many files are gone.
//
// Several processes may write to the same path, since instances of one server share its logs. Lines are appended whole.
// A line may still land in a file that another process has just renamed; it is not lost.
type File struct {
	path     string
	maxBytes int64
	kept     int

	current *os.File
}

// NewFile returns one with the bounds of a unit's log.
func NewFile(path string) *File { return &File{path: path, maxBytes: logBytes, kept: logKept} }

// WriteLine appends line, which ends with a newline.
func (l *File) WriteLine(line []byte) error {
	if err := l.Open(); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	_, err := l.current.Write(line)
	return err
}

// Close ends writing for now.
func (l *File) Close() {
	if l.current != nil {
		l.current.Close()
	}
}

// Open has the file be the file at l.path, with room in it.
func (l *File) Open() error {
	info, err := os.Stat(l.path)
	if err == nil && info.Size() >= l.maxBytes {
		err = l.rotate()
		info = nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l.current != nil && info != nil {
		if mine, err := l.current.Stat(); err == nil && os.SameFile(info, mine) {
			return nil
		}
	}
	l.Close()
	l.current, err = os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return err
}

// rotate renames the file if it is still full once nobody else rotates.
func (l *File) rotate() error {
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(l.path), ".rotate"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	info, err := os.Stat(l.path)
	if err != nil || info.Size() < l.maxBytes {
		return err
	}
	older, err := l.older()
	if err != nil {
		return err
	}
	next := 1
	for n := range older {
		next = max(next, n+1)
	}
	for n, path := range older {
		if n <= next-l.kept {
			os.Remove(path)
		}
	}
	return os.Rename(l.path, l.path+"."+strconv.Itoa(next))
}

// older returns the rotated files by number.
func (l *File) older() (map[int]string, error) {
	entries, err := os.ReadDir(filepath.Dir(l.path))
	if err != nil {
		return nil, err
	}
	files := map[int]string{}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(l.path)+".")
		if n, err := strconv.Atoi(rest); ok && err == nil {
			files[n] = filepath.Join(filepath.Dir(l.path), e.Name())
		}
	}
	return files, nil
}

// Output is the open file, for a child to inherit; Open comes first.
func (l *File) Output() *os.File { return l.current }
