package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/lists"
	"mcpgateway/internal/sealedtoken"
)

// shelf has what servers that sleep said of themselves, where their shims left it (functions/audit). It only reads.
type shelf struct {
	shared func(server string) ([]byte, error) // the key that is shared with a server's shim; nil: of a file of this machine
	log    *slog.Logger

	mu      sync.Mutex
	of      map[string]shelved
	flights singleflight.Group
}

// shelved is what was there; nil where nothing was, or nothing good.
type shelved struct {
	snapshot *lists.Snapshot
	key      *lists.Key
	until    time.Time // it is believed to be the last
}

const (
	shelfFor    = 10 * time.Second
	shelfWithin = time.Second // may take what a caller waits for who could have the server woken instead
)

func newShelf(s *servers, log *slog.Logger) *shelf {
	f := &shelf{of: map[string]shelved{}, log: log}
	if s.cluster != nil {
		f.shared = func(server string) ([]byte, error) { return s.cluster.SharedKey(server), nil }
	}
	return f
}

// snapshot is what a server said of itself, if it may still be the same: its entry and the policies are what they were then. The
// key is the one that it was sealed with.
func (f *shelf) snapshot(ctx context.Context, c *call) (*lists.Snapshot, *lists.Key) {
	want, known := c.kept[c.server]
	if !known || c.place == nil {
		return nil, nil
	}
	at := f.read(ctx, c)
	if s := at.snapshot; s == nil || s.Revision != want.revision || s.Policies != want.policies {
		return nil, nil
	}
	return at.snapshot, at.key
}

func (f *shelf) read(ctx context.Context, c *call) shelved {
	f.mu.Lock()
	last, known := f.of[c.server]
	f.mu.Unlock()
	if known && time.Now().Round(0).Before(last.until) {
		return last
	}
	flight := f.flights.DoChan(c.server, func() (any, error) { return f.fetch(c.place, c.platform, c.server), nil })
	select {
	case <-ctx.Done():
		return shelved{}
	case r := <-flight:
		return r.Val.(shelved)
	}
}

// fetch reads it anew, for all who want it. What cannot be had now is not asked for again at once.
func (f *shelf) fetch(place *lists.Place, p *catalog.Platform, server string) shelved {
	ctx, cancel := context.WithTimeout(context.Background(), shelfWithin)
	defer cancel()
	var found shelved
	var err error
	if found.key, err = f.key(p, server); err == nil {
		found.snapshot, err = place.Read(ctx, found.key, time.Now())
	}
	if err != nil {
		f.log.Warn("lists of a server that sleeps cannot be read", "server", server, "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found.until = time.Now().Round(0).Add(shelfFor)
	f.of[server] = found
	return found
}

// forget has what is there be read anew: the server is awake, or about to be, and leaves something else.
func (f *shelf) forget(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, server)
}

// awake has what is there be read anew after a call: its server answered.
func (f *shelf) awake(c *call) {
	if c.entry.CachesDiscovery() {
		f.forget(c.server)
	}
}

// key is what this gateway shares with a server's shim.
func (f *shelf) key(p *catalog.Platform, server string) (*lists.Key, error) {
	if f.shared != nil {
		shared, err := f.shared(server)
		if err != nil {
			return nil, err
		}
		return lists.NewKey(shared, server)
	}
	shared, err := os.ReadFile(filepath.Join(p.Deployer.Secrets, sealedtoken.SharedFile)) // the deployer makes it
	if err != nil {
		return nil, fmt.Errorf("read the key that gateway and deployer share: %w", err)
	}
	return lists.NewKey(sealedtoken.Key(shared, server), server)
}
