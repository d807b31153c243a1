package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// addressListener is a listener whose address can be taken back while it still accepts: a caller either finds no
// address, and knows that nothing was sent, or is served.
type addressListener struct {
	net.Listener
	path string // of the Unix socket; empty for TCP
}

// listen binds "unix:PATH" or a TCP address.
func listen(address string) (*addressListener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return &addressListener{Listener: l}, nil
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // withdraw does it, before closing
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &addressListener{Listener: l, path: path}, nil
}

// withdraw takes the address back. A TCP address stays: whoever routes to it was told by the deployer.
func (l *addressListener) withdraw() {
	if l.path != "" {
		_ = os.Remove(l.path) // gone already: all the better
	}
}
