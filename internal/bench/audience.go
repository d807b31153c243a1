package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcpgateway/internal/measure"
)

// audience is clients that hold a listening stream open, each on a connection of its own.
type audience struct {
	transport *http.Transport
	leave     context.CancelFunc
	reading   sync.WaitGroup
	ended     atomic.Int64 // streams that ended before anyone asked them to
}

// opening bounds the streams that are opened at once.
const opening = 16

// gather opens n listening streams, of the callers in turn, every other one in the legacy era. What it returns must be
// dismissed, with an error too.
func gather(ctx context.Context, callers []*measure.Caller, n int) (*audience, error) {
	ctx, leave := context.WithCancel(ctx)
	a := &audience{leave: leave, transport: &http.Transport{DisableCompression: true, ReadBufferSize: 1024, WriteBufferSize: 1024}}
	patience := time.AfterFunc(30*time.Second, leave) // a client's Timeout would end the streams too
	defer patience.Stop()
	errs := make([]error, n)
	turns := make(chan struct{}, opening)
	var wg sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			errs[i] = a.join(ctx, callers[i/2%len(callers)], i%2 == 1)
		})
	}
	wg.Wait()
	if err := measure.Summarise(errs); err != nil {
		return a, fmt.Errorf("open listeners: %w", err)
	}
	return a, nil
}

// join opens a stream, and reads it until the audience leaves.
func (a *audience) join(ctx context.Context, c *measure.Caller, inSession bool) (err error) {
	l := c.Listener()
	if inSession {
		if l, err = c.LegacyListener(ctx); err != nil {
			return err
		}
	}
	response, err := l.Through(&http.Client{Transport: a.transport}).Open(ctx)
	if err != nil {
		return err
	}
	a.reading.Go(func() {
		defer response.Body.Close()
		var some [64]byte
		for err == nil {
			_, err = response.Body.Read(some[:])
		}
		if ctx.Err() == nil {
			a.ended.Add(1)
		}
	})
	return nil
}

// check is an error where some do not listen any more: a measurement without them is none.
func (a *audience) check() error {
	if n := a.ended.Load(); n > 0 {
		return fmt.Errorf("%d listening streams ended", n)
	}
	return nil
}

// dismiss ends all streams.
func (a *audience) dismiss() error {
	err := a.check()
	a.leave()
	a.reading.Wait()
	a.transport.CloseIdleConnections()
	return err
}
