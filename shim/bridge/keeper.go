package bridge

import (
	"context"
	"sync"
)

// keeper keeps one child for all: started by the first who needs it, and again by the next when it has ended.
type keeper struct {
	start func() (*pipe, error)

	mu     sync.Mutex
	pipe   *pipe
	flight *flight // nil while none is started
}

// flight is one start. Whoever comes while it lasts gets what comes of it, an error too: a child that takes a minute to
// fail would else take one for each of them.
type flight struct {
	done chan struct{}
	pipe *pipe
	err  error
}

// get returns the child, started if need be. Who leaves does not end its start, since others may wait for it.
func (k *keeper) get(ctx context.Context) (*pipe, error) {
	k.mu.Lock()
	if p := k.living(); p != nil {
		k.mu.Unlock()
		return p, nil
	}
	if k.flight == nil {
		k.flight = &flight{done: make(chan struct{})}
		go k.fly(k.flight)
	}
	f := k.flight
	k.mu.Unlock()
	select {
	case <-f.done:
		return f.pipe, f.err
	case <-ctx.Done():
		return nil, left(ctx.Err())
	}
}

func (k *keeper) fly(f *flight) {
	f.pipe, f.err = k.start()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pipe, k.flight = f.pipe, nil
	close(f.done)
}

// settled returns the child if it lives, when none is started any more.
func (k *keeper) settled() *pipe {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.flight != nil {
		f := k.flight
		k.mu.Unlock()
		<-f.done
		k.mu.Lock()
	}
	return k.living()
}

// current returns the child if it lives.
func (k *keeper) current() *pipe {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.living()
}

// living does so while k.mu is held.
func (k *keeper) living() *pipe {
	if k.pipe != nil {
		select {
		case <-k.pipe.ended:
			k.pipe = nil
		default:
		}
	}
	return k.pipe
}
