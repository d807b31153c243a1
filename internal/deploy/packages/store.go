// Package packages installs programs of npm and PyPI once, into a folder of the deployer's, so that starting one asks
// no registry.
//
// An install fills a folder of its own, and counts once a record names that folder: half an install is never used. The
// folder is never moved, since what is installed may remember where it is, as Python environments do. Whatever comes
// from a registry is code that runs as our user, at the latest when its server starts; the package keeps our secrets
// from it while it is installed, and isolates nothing.
package packages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mcpgateway/internal/deploy"
)

// Config is what a Store needs. Folder and Logger are required.
type Config struct {
	// Folder is where packages are kept, made if need be. Several processes may use it at once.
	Folder string
	// Limit is how long one install may take, five minutes where 0.
	Limit time.Duration
	// Backoff is the pause after a failed install, five seconds where 0; it doubles up to five minutes.
	Backoff time.Duration
	Logger  *slog.Logger
}

// slots is how many installs run at once. What is installed ahead of time takes one at most, so that callers who wait
// find another.
const slots = 3

// Store has the packages of one folder. It may be used concurrently.
type Store struct {
	config  Config
	done    context.Context // ends with Close
	close   context.CancelFunc
	slots   chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	flights   map[deploy.Package]*flight
	failures  map[deploy.Package]*failure
	queue     []deploy.Need // what is still to be installed ahead of time
	preparing bool
}

// Open returns the store of a folder. It installs nothing yet.
func Open(c Config) (*Store, error) {
	if c.Folder == "" || c.Logger == nil {
		return nil, errors.New("packages: folder and logger are required")
	}
	if c.Limit <= 0 {
		c.Limit = 5 * time.Minute
	}
	if c.Backoff <= 0 {
		c.Backoff = 5 * time.Second
	}
	var err error
	if c.Folder, err = filepath.Abs(c.Folder); err != nil {
		return nil, fmt.Errorf("packages: %w", err)
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("packages: %w", err)
	}
	s := &Store{config: c, slots: make(chan struct{}, slots), flights: map[deploy.Package]*flight{}, failures: map[deploy.Package]*failure{}}
	s.done, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Close ends installs that run, with all their processes, and waits for their end. Nothing is installed any more.
func (s *Store) Close() {
	s.mu.Lock()
	s.close()
	s.mu.Unlock()
	s.running.Wait()
}

// Program returns the path of a package's program, installed if need be, for a server that is named in the log. Errors
// are *deploy.StartError, or ctx's: then the install goes on.
func (s *Store) Program(ctx context.Context, server string, p deploy.Package) (string, error) {
	if program, ok := s.Installed(p); ok {
		return program, nil
	}
	f, err := s.board(server, p)
	if err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-f.landed:
		return f.program, f.err
	}
}

// Prepare installs what is missing in the background, one package after the other. Another call replaces what is still
// to be done. What fails is logged, and tried again by later calls.
func (s *Store) Prepare(needs []deploy.Need) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done.Err() != nil {
		return
	}
	s.queue = append([]deploy.Need(nil), needs...)
	if !s.preparing && len(s.queue) > 0 {
		s.preparing = true
		s.running.Go(s.prepare)
	}
}

func (s *Store) prepare() {
	for {
		s.mu.Lock()
		if s.preparing = len(s.queue) > 0 && s.done.Err() == nil; !s.preparing {
			s.mu.Unlock()
			return
		}
		next := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		_, _ = s.Program(s.done, next.Server, next.Package) // the flight has logged why not
	}
}
