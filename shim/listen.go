package main

import (
	"fmt"
	"net"
	"strings"

	"mcpgateway/internal/socket"
)

// addressListener is a listener whose address can be taken back while it still accepts.
type addressListener struct {
	net.Listener
	withdraw func()
}

// listen binds "unix:PATH" or a TCP address. That one stays when it is taken back: whoever routes to it was told by the
// deployer.
func listen(address string) (*addressListener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		l, err := socket.Listen(path)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return &addressListener{Listener: l, withdraw: l.Withdraw}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &addressListener{Listener: l, withdraw: func() {}}, nil
}
