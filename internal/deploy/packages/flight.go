package packages

import (
	"context"
	"errors"
	"time"

	"mcpgateway/internal/deploy"
)

// maxPause bounds the pause after failures.
const maxPause = 5 * time.Minute

// flight is one install that any number of callers wait for. It goes on when they leave.
type flight struct {
	landed  chan struct{}
	program string
	err     error
}

// failure is why the last install of a package failed, and when the next may begin.
type failure struct {
	count int
	until time.Time
	err   deploy.StartError
}

// board returns the flight of p, which it starts if there is none. The error is the last install's, while the pause
// after it lasts: a hundred calls are not a hundred installs.
func (s *Store) board(server string, p deploy.Package) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[p]; f != nil {
		return f, nil
	}
	if err := s.done.Err(); err != nil {
		return nil, &deploy.StartError{Code: deploy.CodeUnavailable, Message: "The gateway is shutting down.", Cause: err}
	}
	if f := s.failures[p]; f != nil {
		if pause := time.Until(f.until); pause > 0 {
			again := f.err
			again.RetryAfter = pause
			return nil, &again
		}
	}
	f := &flight{landed: make(chan struct{})}
	s.flights[p] = f
	s.running.Go(func() {
		f.program, f.err = s.fly(server, p)
		s.mu.Lock()
		delete(s.flights, p)
		s.mu.Unlock()
		close(f.landed)
	})
	return f, nil
}

// fly installs p as soon as there is room, and keeps the books.
func (s *Store) fly(server string, p deploy.Package) (string, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.done.Done():
	}
	log := s.config.Logger.With("server", server, "package", p.Name)
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.done, s.config.Limit)
	defer cancel()
	program, err := s.install(ctx, p, log)
	if err == nil {
		log.Info("package installed", "took", time.Since(began).Round(time.Millisecond))
		s.mu.Lock()
		delete(s.failures, p)
		s.mu.Unlock()
		return program, nil
	}
	if s.done.Err() != nil {
		return "", &deploy.StartError{Code: deploy.CodeUnavailable, Message: "The gateway is shutting down.", Cause: err}
	}
	if ctx.Err() != nil {
		err = &trouble{reason: "it took longer than " + s.config.Limit.String(), cause: err}
	}
	failed := s.fail(p, err)
	log.Error("package not installed", "reason", failed.Message, "error", err, "again", failed.RetryAfter, "took", time.Since(began).Round(time.Millisecond))
	return "", failed
}

// fail remembers a failed install, and makes the error that callers get.
func (s *Store) fail(p deploy.Package, err error) *deploy.StartError {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failures[p]
	if f == nil {
		f = &failure{}
		s.failures[p] = f
	}
	pause := min(maxPause, s.config.Backoff<<min(f.count, 10))
	f.count++
	f.until = time.Now().Add(pause)
	reason := "the gateway's log says why"
	if t, ok := errors.AsType[*trouble](err); ok {
		reason = t.reason
	}
	f.err = deploy.StartError{Code: deploy.CodeUnavailable, RetryAfter: pause, Cause: err,
		Message: clip("The package "+p.Name+" cannot be installed: "+reason, maxSentence) + "."}
	failed := f.err
	return &failed
}

// trouble is an error with a reason that any caller may read.
type trouble struct {
	reason string // without a path, an address or a full stop
	cause  error  // nil where the reason says it all
}

func (t *trouble) Error() string {
	if t.cause == nil {
		return t.reason
	}
	return t.reason + ": " + t.cause.Error()
}

func (t *trouble) Unwrap() error { return t.cause }
