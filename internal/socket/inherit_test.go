package socket

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
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
	l, err := Listen(fmt.Sprintf("/dev/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(); err == nil {
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

func TestWhatIsNoSocketIsNotServed(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // closed already, it may be another's by then: nothing else is opened in this test
	for _, path := range []string{"/dev/fd/", "/dev/fd/x", "/dev/fd/-1", "/dev/fd/3/4", "/dev/fd/65000", fmt.Sprintf("/dev/fd/%d", f.Fd())} {
		if l, err := Listen(path); err == nil {
			t.Errorf("%s is served on %v", path, l.Addr())
		}
	}
}
