package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

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

// newServer sets the bounds of what a caller may cost before its request is there.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
}

// serveUntil serves until ctx ends; an error says why it ended sooner. To close the server is left to the caller, who may
// have calls to end first.
func serveUntil(ctx context.Context, server *http.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		return nil
	}
}
