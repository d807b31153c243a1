// Package socket makes the Unix sockets over which our own programs talk on one machine: only their owner reaches them,
// which is all the authentication there is. It is not for the sockets between shim and server, whose address must be
// withdrawn before they close.
package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// MaxPath is how long a path may be everywhere, in bytes: macOS has room for 104 with a zero, Linux for 108.
const MaxPath = 103

// Listen serves on a Unix socket that only its owner can reach. A socket that nobody serves any more is replaced. It
// must be called before the program serves anything: for a moment, every file that the process makes is private.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mask, since between binding and a chmod others could connect.
	mask := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(mask)
	if err != nil {
		return nil, fmt.Errorf("serve on %s: %w", path, err)
	}
	return l, nil
}

// ListenAt serves on "unix:PATH", as Listen does, or on HOST:PORT, which everyone who reaches it may connect to.
func ListenAt(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return Listen(path)
	}
	return net.Listen("tcp", address)
}

func removeStale(path string) error {
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
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return fmt.Errorf("another program serves on %s", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	return nil
}
