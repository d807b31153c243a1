package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// Only a file that the poller waits for takes a deadline.
func TestAPipeIsPolled(t *testing.T) {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(ends[1])
	blocking := os.NewFile(uintptr(ends[0]), "standard input")
	defer blocking.Close()
	in, err := pollable(blocking)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("read: %v, want a timeout", err)
	}
}

func TestAFileIsReadAsItIs(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if in, err := pollable(f); in != f || err != nil {
		t.Errorf("pollable: %v, %v", in, err)
	}
}
