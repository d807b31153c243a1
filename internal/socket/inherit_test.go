package socket

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A program that may not enter the folder serves all the same, and leaves the path to whoever handed it the socket.
func TestHandedSocketIsServed(t *testing.T) {
	path := filepath.Join(shortDir(t), "x", "y.sock")
	f, err := Hand(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	number := inherit(t, f)
	l, err := Listen(fmt.Sprintf("/dev/fd/%d", number))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Fstat(number, new(syscall.Stat_t)); err == nil {
		t.Error("the descriptor is still open, and whatever this process starts inherits it")
	}
	caller, err := net.Dial("unix", path) // it is accepted later
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	if _, err := caller.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 1 {
		t.Errorf("read %d, %v", n, err)
	}
	conn.Close()
	l.Withdraw()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the path was taken back: %v", err)
	}
}

// inherit returns the number of a descriptor that no file of this process knows of, as that of a process that inherited it.
// Who is given the number closes it: a file that knew it would close it once more, and by then it may be another's.
func inherit(t *testing.T, f *os.File) int {
	t.Helper()
	number, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	return number
}

func TestWhatIsNoSocketIsNotServed(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/fd/", "/dev/fd/x", "/dev/fd/-1", "/dev/fd/3/4", "/dev/fd/65000", fmt.Sprintf("/dev/fd/%d", inherit(t, f))} {
		if l, err := Listen(path); err == nil {
			t.Errorf("%s is served on %v", path, l.Addr())
		}
	}
}
