package local

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/functions/audit/store/storetest"
)

func open(t *testing.T, folder string) *Store {
	t.Helper()
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func lines(t *testing.T, folder, server, day string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "records", "date="+day, "server="+server, "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, storetest.Kept) {
		folder := t.TempDir()
		return open(t, folder), func(t *testing.T, server, day string) []string { return lines(t, folder, server, day) }
	})
}

func record(t *testing.T, id, at string) store.Record {
	t.Helper()
	r, err := store.NewRecord([]byte(`{"id":"` + id + `","createdAt":"` + at + `","server":"notes","callType":"ping","outcome":"forwarded"}`))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Lines that were written when the process ended, before the index knew of them, come again and are there once.
func TestEndsBetween(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder)
	first, second := record(t, "one", "2026-11-28T10:00:00Z"), record(t, "two", "2026-11-28T10:01:00Z")
	if err := s.Add(t.Context(), store.Batch{Server: "notes", Records: []store.Record{first}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "records", "date=2026-11-28", "server=notes", "records.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Repeat(string(second.Line), 2)); err != nil { // more than comes again, and torn
		t.Fatal(err)
	}
	f.Close()
	if err := s.Add(t.Context(), store.Batch{Server: "notes", Records: []store.Record{first, second}}); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, folder, "notes", "2026-11-28"); !slices.Equal(got, []string{string(first.Line), string(second.Line)}) {
		t.Errorf("%q", got)
	}
}

// A sweep removes whole days, files and entries, and what came of such a day later can come again.
func TestSweep(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder)
	old, young := record(t, "old", "2026-10-01T10:00:00Z"), record(t, "young", "2026-11-01T00:00:00Z")
	both := store.Batch{Server: "notes", Records: []store.Record{old, young}}
	if err := s.Add(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	q := store.Query{Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Limit: 10}
	for _, server := range []string{"", "notes"} {
		q.Server = server
		p, err := s.Find(t.Context(), q)
		if err != nil || len(p.Entries) != 1 || p.Entries[0].ID != "young" {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "records", "date=2026-10-01")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := s.Add(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, folder, "notes", "2026-10-01"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
