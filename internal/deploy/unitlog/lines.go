package unitlog

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Lines writes what a unit prints to a log, whole lines at a time.
type Lines struct {
	File   *File
	Prefix string // in front of each line, after the time; none where lines are records
	Unit   string // whose lines they are
	Last   *Last  // where the last ones are kept; nil where they are records
}

// maxLine bounds a line, in bytes. A longer one is written in pieces, each with a newline.
const maxLine = 256 << 10

// Copy goes on when a line cannot be written, since the unit must not stop for a full disk; it says so on standard
// error, which is the supervisor's own log.
func (l *Lines) Copy(r io.Reader) {
	defer l.File.Close()
	lines := bufio.NewReaderSize(r, maxLine)
	failed := 0
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			if werr := l.Write(bytes.TrimSuffix(line, []byte("\n"))); werr != nil {
				if failed++; failed == 1 {
					fmt.Fprintf(os.Stderr, "lines of %s are lost: %v\n", filepath.Base(l.File.path), werr)
				}
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d lines of %s were lost\n", failed, filepath.Base(l.File.path))
	}
}

// Write writes one line, without its end.
func (l *Lines) Write(line []byte) error {
	if l.Last == nil {
		return l.File.WriteLine(append(bytes.Clone(line), '\n'))
	}
	l.Last.Add(l.Unit, line)
	stamp := time.Now().UTC().Format("2006-01-02T15:04:05.000Z ")
	return l.File.WriteLine(fmt.Appendf(nil, "%s%s%s\n", stamp, l.Prefix, line))
}

// Last keeps the last lines that any unit printed, for whoever asks why the group ended.
type Last struct {
	mu    sync.Mutex
	lines []string
}

const (
	lastKept      = 20
	lastLineBytes = 400
)

// Add keeps the beginning of a line of a unit.
func (l *Last) Add(unit string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == lastKept {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, unit+": "+string(line[:min(len(line), lastLineBytes)]))
}

// All are the lines that are kept, the oldest first.
func (l *Last) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}
