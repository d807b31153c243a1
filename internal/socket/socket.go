// Package socket makes the Unix sockets over which our own programs talk on one machine: only their owner reaches them,
// which is all the authentication there is.
package socket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// MaxPath is how long a path may be everywhere, in bytes: macOS has room for 104 with a zero, Linux for 108. One at this
// length needs a name of 7 bytes at least in its folder, since a socket is made under another one.
const MaxPath = 103

// Listener serves on a socket.
type Listener struct {
	net.Listener
	path     string // empty where it is another's to take back
	withdraw sync.Once
}

// Listen serves on a Unix socket that only its owner can reach, from its first moment on. A socket that nobody serves any
// more, as a killed program leaves it, is replaced; one that is served is an error. Of several programs that want the
// same path at once one gets it. A path /dev/fd/NUMBER is a socket that this process inherited, see Hand.
func Listen(path string) (*Listener, error) {
	if strings.HasPrefix(path, descriptors) {
		return inherited(path)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	unlock, err := lock(folder)
	if err != nil {
		return nil, fmt.Errorf("serve on %s: %w", path, err)
	}
	defer unlock()
	if err := checkStale(path); err != nil {
		return nil, err
	}
	l, err := bind(folder, path)
	if err != nil {
		return nil, fmt.Errorf("serve on %s: %w", path, err)
	}
	return &Listener{Listener: l, path: path}, nil
}

// ListenAt serves on "unix:PATH", as Listen does, or on HOST:PORT, which everyone who reaches it may connect to.
func ListenAt(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return Listen(path)
	}
	return net.Listen("tcp", address)
}

// lock keeps others who make sockets in the folder waiting. It lasts as long as this process at most.
func lock(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the folder: %w", err)
	}
	return func() { f.Close() }, nil
}

// checkStale allows a path to be taken. Only a refused connection proves that nobody serves: who is too busy to be
// connected to does.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("another program serves on %s: %w", path, syscall.EADDRINUSE)
	}
	return nil
}

// bind makes the socket in a folder that only we can enter, and moves it to its place when it has its rights: a mask for
// new files would hold for all that this process makes meanwhile.
func bind(folder, path string) (net.Listener, error) {
	hidden := filepath.Join(folder, "."+rand.Text()[:4]) // one that is there already is an error
	if err := os.Mkdir(hidden, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(hidden)
	made := filepath.Join(hidden, "s")
	l, err := net.Listen("unix", made)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it would look where the socket is no more
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Addr is where the socket is found, not where it was made.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Withdraw takes the path back while calls are still accepted: a caller either finds no socket, and knows that nothing was
// sent, or is served.
func (l *Listener) Withdraw() {
	l.withdraw.Do(func() { _ = os.Remove(l.path) }) // gone already: all the better
}

// Close withdraws the path if that was not done before: later it may be another's.
func (l *Listener) Close() error {
	l.Withdraw()
	return l.Listener.Close()
}
