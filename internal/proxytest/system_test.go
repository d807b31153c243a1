package proxytest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRecords(t *testing.T) {
	s := &System{State: t.TempDir()}
	if got, err := s.Records("x", 0); err != nil || got != nil {
		t.Errorf("records of a server that never ran: %v, %v", got, err)
	}
	path := filepath.Join(s.State, "logs", "x", "audit.jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{\"callType\":\"a\"}\n{\"callType\":\"b\"}\n{\"callType\":\"c\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := s.Records("x", 1)
	if err != nil || len(got) != 2 || got[0].CallType != "b" || got[1].CallType != "c" {
		t.Errorf("records after the first: %v, %v", got, err)
	}
	for _, day := range []string{"2026-11-29", "2026-11-28"} {
		path := filepath.Join(s.State, "audit", "records", "date="+day, "server=y", "records.jsonl")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{\"callType\":\""+day+"\"}\n{\"callT"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Records("y", 0); err != nil || len(got) != 2 || got[0].CallType != "2026-11-28" || got[1].CallType != "2026-11-29" {
		t.Errorf("records that are kept: %v, %v", got, err)
	}
}
