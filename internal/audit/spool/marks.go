package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
)

// marks say how far a spool was delivered.
type marks struct {
	Count     uint64   `json:"count"`     // of changes: of two the greater one is in force
	Delivered Position `json:"delivered"` // before it, all was acknowledged
	Sending   Position `json:"sending"`   // where the batch ends that may have been sent; before Delivered: none was
	Second    Position `json:"second"`    // before it, all was handed to somebody else as well
}

// marksFile keeps marks in a file that is overwritten in place, so that a full disk stops no delivery. It has room for
// two, which are written in turn: of a write that was torn, the one before is left.
type marksFile struct {
	marks
	mu   sync.Mutex // for Delivered, which appenders read
	file *os.File
}

const slotBytes = 512

func openMarks(path string) (*marksFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 2*slotBytes)
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	return &marksFile{marks: readMarks(text[:n]), file: f}, nil
}

// readMarks takes the later one of those that can be read; none where the file is new, or damaged: then all is sent
// again.
func readMarks(text []byte) (latest marks) {
	for slot := range bytes.SplitSeq(text, []byte{'\n'}) {
		record, ok := unframe(bytes.TrimLeft(slot, " \x00"))
		var m marks
		if ok && json.Unmarshal(record, &m) == nil && m.valid() && m.Count >= latest.Count {
			latest = m
		}
	}
	return latest
}

func (m marks) valid() bool {
	for _, p := range []Position{m.Delivered, m.Sending, m.Second} {
		if p.Offset < 0 || p.Segment > 1<<62 {
			return false
		}
	}
	return true
}

// set puts m in force, first here and then in the file: where that fails, a restart sends again what it need not.
func (f *marksFile) set(m marks) error {
	m.Count = f.Count + 1
	f.mu.Lock()
	f.marks = m
	f.mu.Unlock()
	record, err := json.Marshal(m)
	if err != nil {
		return err
	}
	slot := appendFrame(nil, record)
	slot = append(bytes.Repeat([]byte{' '}, slotBytes-len(slot)), slot...)
	_, err = f.file.WriteAt(slot, int64(m.Count%2)*slotBytes)
	return err
}

func (f *marksFile) delivered() Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Delivered
}
