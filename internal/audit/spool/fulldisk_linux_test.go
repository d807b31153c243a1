package spool

import (
	"fmt"
	"syscall"
	"testing"
)

// On a disk that is really full, what was taken is there, what was not is refused, and delivering makes room again.
func TestRealFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("a small disk needs root:", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	s, err := Open(Config{Folder: dir, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer kill(s)
	s.config.MaxBytes = 100 << 10 // segments of 25 KiB on 64 KiB of disk
	const long = 700
	taken, got, refused := 0, 0, 0
	for i := range 1000 {
		if _, err := s.Append([][]byte{fmt.Appendf(nil, "%0*d", long, taken)}); err != nil {
			refused++
		} else {
			taken++
		}
		if i%4 == 3 { // more comes in than goes out
			b, err := s.Next(Limits{Records: 2, Bytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			got = readOn(t, b, got)
			done(t, s, b)
		}
	}
	for {
		b := next(t, s)
		if !b.End.After(b.From) {
			break
		}
		got = readOn(t, b, got)
		done(t, s, b)
	}
	if got != taken || refused == 0 || taken < 100 {
		t.Errorf("%d were taken and %d refused; %d were read", taken, refused, got)
	}
}

// readOn holds a batch to the numbers from n on.
func readOn(t *testing.T, b Batch, n int) int {
	t.Helper()
	if b.Damaged > 0 {
		t.Errorf("%d damaged", b.Damaged)
	}
	for _, r := range b.Records {
		if want := fmt.Sprintf("%0700d", n); string(r) != want {
			t.Fatalf("got number %s, want %d", r[690:], n)
		}
		n++
	}
	return n
}
