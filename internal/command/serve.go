package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Serve serves until ctx ends, and then lets requests under way go on for as long as drain.
func Serve(ctx context.Context, h *http.Server, l net.Listener, drain time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := h.Shutdown(stopping); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return h.Close()
}
