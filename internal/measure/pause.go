package measure

import (
	"context"
	"time"
)

// Pause waits for d. The error is ctx's, where that ends before.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
