package spool

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var limits = Limits{Records: 10, Bytes: 1 << 20}

func open(t *testing.T, folder string) *Spool {
	t.Helper()
	s, err := Open(Config{Folder: folder, MaxBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kill lets go of a spool as the end of its process does: nothing is synced or written any more.
func kill(s *Spool) {
	for _, f := range append(s.unsynced, s.active, s.marks.file, s.lock) {
		_ = f.Close()
	}
}

func add(t *testing.T, s *Spool, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := s.Append([][]byte{record(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func record(i int) []byte { return fmt.Appendf(nil, `{"id":"%05d"}`, i) }

func next(t *testing.T, s *Spool) Batch {
	t.Helper()
	b, err := s.Next(limits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// check holds a batch to the records in a row.
func check(t *testing.T, b Batch, from, to int) {
	t.Helper()
	if len(b.Records) != to-from {
		t.Fatalf("%d records, want %d", len(b.Records), to-from)
	}
	for i, r := range b.Records {
		if !bytes.Equal(r, record(from+i)) {
			t.Errorf("%s in place of %s", r, record(from+i))
		}
	}
}

func done(t *testing.T, s *Spool, b Batch) {
	t.Helper()
	if err := s.Done(b); err != nil {
		t.Fatal(err)
	}
}

// A batch that was read is the same one after a kill, though more was added since: to a sink that knows its key it is
// the one that it has.
func TestBatchSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, 0, 15)
	done(t, s, next(t, s))
	first := next(t, s)
	check(t, first, 10, 15)
	add(t, s, 15, 18)
	kill(s)

	s = open(t, dir)
	add(t, s, 18, 40)
	again := next(t, s)
	check(t, again, 10, 15)
	if again.Key != first.Key || again.Key == "" {
		t.Errorf("key %q, was %q", again.Key, first.Key)
	}
	done(t, s, again)
	check(t, next(t, s), 15, 25)
	kill(s)

	s = open(t, dir) // delivered, and the answer came after the kill
	check(t, next(t, s), 15, 25)
	done(t, s, next(t, s))
	check(t, next(t, s), 25, 35)
	done(t, s, next(t, s))
	check(t, next(t, s), 35, 40)
	done(t, s, next(t, s))
	check(t, next(t, s), 0, 0)
	if n := s.Bytes(); n != 0 {
		t.Errorf("%d bytes are left of what was delivered", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNarrow(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, 0, 10)
	whole := next(t, s)
	half, err := s.Narrow(whole)
	if err != nil {
		t.Fatal(err)
	}
	check(t, half, 0, 5)
	if half.Key == whole.Key {
		t.Error("other records have the same key")
	}
	kill(s)
	s = open(t, dir)
	check(t, next(t, s), 0, 5)
	done(t, s, next(t, s))
	check(t, next(t, s), 5, 10)
}

// Half a record at the end, and a damaged one in the middle, cost themselves and nothing else.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, 0, 3)
	path := s.path(s.segments[0].number)
	kill(s)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, record(1), []byte(`{"id":"0666"}`), 1)
	if err := os.WriteFile(path, append(text, "0badf00d {\"id\":\"tor"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	add(t, s, 3, 5)
	b := next(t, s)
	if b.Damaged != 2 || len(b.Records) != 4 || string(b.Records[1]) != string(record(2)) || string(b.Records[3]) != string(record(4)) {
		t.Errorf("%d damaged, %s", b.Damaged, b.Records)
	}
}

func TestFull(t *testing.T) {
	s := open(t, t.TempDir())
	var n int
	var err error
	for err == nil && n < 1e5 {
		if _, err = s.Append([][]byte{record(n)}); err == nil {
			n++
		}
	}
	if !errors.Is(err, ErrFull) || n < 1000 {
		t.Fatalf("%d records, then %v", n, err)
	}
	files, _ := filepath.Glob(filepath.Join(s.config.Folder, "*.records"))
	if len(files) < 4 {
		t.Errorf("%d files: nothing is given back before all is delivered", len(files))
	}
	for got := 0; got < n/2; {
		b := next(t, s)
		check(t, b, got, got+len(b.Records))
		done(t, s, b)
		got += len(b.Records)
	}
	add(t, s, n, n+100)
}

// A disk that is full costs the record that does not fit, not those before and after it.
func TestFullDisk(t *testing.T) {
	for name, half := range map[string]string{"nothing written": "", "half a record written": `0badf00d {"id":"ha`} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			add(t, s, 0, 2)
			whole := s.active
			if _, err := whole.WriteString(half); err != nil {
				t.Fatal(err)
			}
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip(err)
			}
			s.active = full // writes are ENOSPC, and cutting off fails too
			if _, err := s.Append([][]byte{record(9)}); err == nil {
				t.Fatal("a record was taken that is nowhere")
			}
			add(t, s, 2, 4)
			b := next(t, s)
			check(t, b, 0, 4)
		})
	}
}

func TestRestIsHandedOverOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, 0, 12)
	done(t, s, next(t, s))
	rest, err := s.Rest(limits)
	if err != nil {
		t.Fatal(err)
	}
	check(t, rest, 10, 12)
	if err := s.HandedOver(rest); err != nil {
		t.Fatal(err)
	}
	kill(s)
	s = open(t, dir)
	add(t, s, 12, 13)
	if rest, err = s.Rest(limits); err != nil {
		t.Fatal(err)
	}
	check(t, rest, 12, 13)
	check(t, next(t, s), 10, 13) // the sink still gets all
}

func TestShared(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	c := Config{Folder: dir, MaxBytes: 64 << 10}
	a, left, err := OpenShared(c, log)
	if err != nil || len(left) > 0 {
		t.Fatal(err, left)
	}
	b, left, err := OpenShared(c, log)
	if err != nil || len(left) > 0 || a.config.Folder == b.config.Folder {
		t.Fatal(err, left, a.config.Folder, b.config.Folder)
	}
	if _, err := Open(b.config); !errors.Is(err, ErrBusy) {
		t.Errorf("opened twice: %v", err)
	}
	add(t, a, 0, 1)
	add(t, b, 1, 2)
	kill(a)
	kill(b)
	own, left, err := OpenShared(c, log)
	if err != nil || len(left) != 1 {
		t.Fatal(err, left)
	}
	if n := len(next(t, own).Records) + len(next(t, left[0]).Records); n != 2 {
		t.Errorf("%d records are left", n)
	}
	done(t, left[0], next(t, left[0]))
	if err := left[0].Remove(); err != nil {
		t.Error(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%d folders", len(entries))
	}
}

// Everybody may append and sync while one reads.
func TestConcurrent(t *testing.T) {
	s, err := Open(Config{Folder: t.TempDir(), MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 500
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if _, err := s.Append([][]byte{record(w*each + i), record(10_000 + w*each + i)}); err != nil {
					t.Error(err)
				}
				if i%100 == 0 {
					if err := s.Sync(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	go func() { all.Wait(); _ = s.Bytes() }()
	seen := map[string]int{}
	for len(seen) < 2*writers*each {
		b := next(t, s)
		if b.Damaged > 0 {
			t.Fatalf("%d damaged", b.Damaged)
		}
		for _, r := range b.Records {
			seen[string(r)]++
		}
		done(t, s, b)
	}
	for r, n := range seen {
		if n != 1 {
			t.Errorf("%s was read %d times", r, n)
		}
	}
}

func TestMarksSurviveATornWrite(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, 0, 30)
	done(t, s, next(t, s))
	done(t, s, next(t, s)) // two changes: of what is sent, and that it is done
	kill(s)
	path := filepath.Join(dir, "marks")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slot := int(s.marks.Count % 2)
	torn := append(bytes.Clone(text[:slot*slotBytes]), strings.Repeat("?", 40)...)
	if slot == 0 {
		torn = append(torn, text[40:]...)
	}
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	check(t, next(t, s), 10, 20) // as before the change that was torn: the same batch, with the same key
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{}, {Folder: t.TempDir()}, {MaxBytes: 1}, {Folder: file, MaxBytes: 1}} {
		if _, err := Open(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	s := open(t, t.TempDir())
	if _, err := s.Append([][]byte{make([]byte, MaxRecord+1)}); err == nil {
		t.Error("a record was taken that cannot be read back")
	}
}
