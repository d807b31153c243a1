package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Batch is some records in a row.
type Batch struct {
	Records [][]byte
	Key     string // the same for the same records
	Damaged int    // lines in between that cannot be read
	From    Position
	End     Position

	bytes int        // of Records, with what is around them
	ends  []Position // after each of Records
}

// Limits bound a batch. Both must be positive.
type Limits struct {
	Records int
	Bytes   int // of records and what is around them; one record may have more
}

// Next reads the batch that is to be sent: the one that was read last, as long as that is not Done, otherwise the next
// one within limits. It is empty where all was delivered. An error says that nothing can be read; a batch with an error
// can be sent, but another process might send the same records in another batch.
func (s *Spool) Next(l Limits) (Batch, error) {
	m := s.marks.marks
	if m.Sending.After(m.Delivered) && s.afterRecord(m.Sending) {
		b, err := s.read(m.Delivered, m.Sending, Limits{Records: maxInt, Bytes: maxInt})
		if err != nil || len(b.Records) > 0 || b.Damaged > 0 {
			return b, err
		}
		// Marks that name what is not there are not ours.
	}
	b, err := s.read(m.Delivered, s.End(), l)
	if err != nil || !b.End.After(m.Delivered) {
		return b, err
	}
	m.Sending = b.End
	if err := s.marks.set(m); err != nil {
		return b, fmt.Errorf("mark batch: %w", err)
	}
	return b, nil
}

const maxInt = int(^uint(0) >> 1)

// afterRecord tells whether a line ends at a place.
func (s *Spool) afterRecord(p Position) bool {
	if p.Offset == 0 {
		return true
	}
	f, err := os.Open(s.path(p.Segment))
	if err != nil {
		return false
	}
	defer f.Close()
	var last [1]byte
	_, err = f.ReadAt(last[:], p.Offset-1)
	return err == nil && last[0] == '\n'
}

// Narrow makes the batch that is to be sent the first half of b, which has at least two records.
func (s *Spool) Narrow(b Batch) (Batch, error) {
	half := len(b.Records) / 2
	b.Records, b.ends, b.Damaged = b.Records[:half], b.ends[:half], 0
	b.End = b.ends[half-1]
	b.Key = keyOf(b.Records)
	m := s.marks.marks
	m.Sending = b.End
	return b, s.marks.set(m)
}

// Done notes that b was delivered, and forgets it. With an error it is forgotten here, but another process would send
// it again.
func (s *Spool) Done(b Batch) error {
	m := s.marks.marks
	m.Delivered = b.End
	err := s.marks.set(m)
	s.forget()
	return err
}

// Rest reads what was neither delivered nor handed over.
func (s *Spool) Rest(l Limits) (Batch, error) {
	from := s.marks.Delivered
	if s.marks.Second.After(from) {
		from = s.marks.Second
	}
	return s.read(from, s.End(), l)
}

// HandedOver notes that somebody else has b as well: Rest goes on after it.
func (s *Spool) HandedOver(b Batch) error {
	m := s.marks.marks
	m.Second = b.End
	return s.marks.set(m)
}

// End is the place after all records.
func (s *Spool) End() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) == 0 {
		return s.marks.delivered()
	}
	last := s.segments[len(s.segments)-1]
	return Position{last.number, last.size}
}

// read returns the records between two places, as far as l allows.
func (s *Spool) read(from, to Position, l Limits) (Batch, error) {
	b := Batch{From: from, End: from}
	s.mu.Lock()
	segments := append([]segment(nil), s.segments...)
	s.mu.Unlock()
	for _, g := range segments {
		if g.number < b.End.Segment || g.number > to.Segment {
			continue
		}
		if g.number > b.End.Segment {
			b.End = Position{Segment: g.number}
		}
		end := g.size
		if g.number == to.Segment {
			end = min(end, to.Offset)
		}
		full, err := s.readSegment(&b, end, l)
		if err != nil {
			return b, fmt.Errorf("read spool: %w", err)
		}
		if full {
			break
		}
	}
	b.Key = keyOf(b.Records)
	return b, nil
}

// readSegment adds the records of one segment from b.End to end, and reports whether b is full.
func (s *Spool) readSegment(b *Batch, end int64, l Limits) (full bool, err error) {
	if b.End.Offset >= end {
		return false, nil
	}
	f, err := os.Open(s.path(b.End.Segment))
	if err != nil {
		return false, err
	}
	defer f.Close()
	for b.End.Offset < end {
		text := make([]byte, min(end-b.End.Offset, segmentBytes))
		n, err := f.ReadAt(text, b.End.Offset)
		if text = text[:n]; n == 0 {
			if err == io.EOF { // shorter than it was
				b.End.Offset = end
				return false, nil
			}
			return false, err
		}
		if b.add(text, b.End.Offset+int64(n) >= end, l) {
			return true, nil
		}
	}
	return false, nil
}

// add takes the lines of text, which is at b.End, and reports whether b is full. What is left without a line break is
// half a record where it is the last of its segment, or one that is longer than any we write.
func (b *Batch) add(text []byte, last bool, l Limits) (full bool) {
	whole := false
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\n') + 1
		if n == 0 && whole && !last {
			return false // to be read again, with its end
		}
		if n == 0 {
			b.Damaged++
			b.End.Offset += int64(len(text))
			return false
		}
		record, ok := unframe(text[:n-1])
		if ok && len(b.Records) > 0 && (len(b.Records) >= l.Records || b.bytes > l.Bytes-n) {
			return true
		}
		whole = true
		b.End.Offset += int64(n)
		if ok {
			b.Records, b.ends = append(b.Records, record), append(b.ends, b.End)
			b.bytes += n
		} else {
			b.Damaged++
		}
		text = text[n:]
	}
	return false
}

func keyOf(records [][]byte) string {
	sum := sha256.New()
	for _, r := range records {
		sum.Write(r)
		sum.Write([]byte{'\n'})
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
