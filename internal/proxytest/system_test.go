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
}
