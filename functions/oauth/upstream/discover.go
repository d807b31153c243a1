package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Find returns the metadata of the server's authorization server. What was found is known for a while, and a failure shortly.
func (s *Server) Find(ctx context.Context) (*Metadata, error) {
	return s.look(ctx, "", func(ctx context.Context) (*Metadata, error) { return s.discover(ctx) })
}

// at returns the metadata of an authorization server whose tokens we have, whatever the server's metadata says today.
func (s *Server) at(ctx context.Context, issuer string) (*Metadata, error) {
	return s.look(ctx, issuer, func(ctx context.Context) (*Metadata, error) { return s.readIssuer(ctx, issuer) })
}

// look finds something once for all who ask, so it does not end with whoever asked first.
func (s *Server) look(ctx context.Context, name string, find func(context.Context) (*Metadata, error)) (*Metadata, error) {
	s.mu.Lock()
	have, known := s.found[name]
	s.mu.Unlock()
	if known && s.Now().Before(have.until) {
		return have.metadata, have.err
	}
	got, _, _ := s.flight.Do(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*timeout)
		defer cancel()
		m, err := find(ctx)
		f := finding{metadata: m, err: err, until: s.Now().Add(knownFor)}
		if err != nil {
			f.until = s.Now().Add(failedFor)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.found[name] = f
		return f, nil
	})
	have = got.(finding)
	return have.metadata, have.err
}

// discover asks the server who signs people in for it.
func (s *Server) discover(ctx context.Context) (*Metadata, error) {
	c, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.readResource(ctx, c.metadata)
	if err != nil && s.Issuer == "" {
		return nil, err
	}
	issuer := s.Issuer
	if issuer == "" {
		issuer = r.Servers[0]
	}
	m, err := s.readIssuer(ctx, issuer)
	if err != nil {
		return nil, err
	}
	m.asked = s.wanted(m, c.scope, r)
	return m, nil
}

// ask calls the server without a token, to be told where its metadata is. A server that answers otherwise may still have some.
func (s *Server) ask(ctx context.Context) (challenge, error) {
	h := http.Header{"Accept": {"application/json, text/event-stream"}}
	a, err := s.post(ctx, s.Resource, "application/json", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, h)
	if err != nil || a.status != http.StatusUnauthorized {
		return challenge{}, nil //nolint:nilerr // its metadata is asked for next
	}
	c, _ := parseChallenges(a.header.Values("WWW-Authenticate"))
	return c, nil
}

// readResource reads the resource's metadata, where its challenge says or else where it may be.
func (s *Server) readResource(ctx context.Context, named string) (r resource, err error) {
	addresses := resourceAddresses(s.Resource)
	if named != "" {
		if err := s.checkAddress(named); err != nil {
			return r, fmt.Errorf("%w: resource_metadata: %w", ErrUnavailable, err)
		}
		addresses = []string{named}
	}
	for _, address := range addresses {
		var a answer
		if a, err = s.get(ctx, address); err != nil {
			continue
		}
		if a.status != http.StatusOK {
			err = fmt.Errorf("%w: %s answers %d", ErrUnavailable, address, a.status)
			continue
		}
		if r, err = s.parseResource(a.body); err == nil {
			return r, nil
		}
		err = fmt.Errorf("%w: metadata of the server at %s: %w", ErrUnavailable, address, err)
	}
	return r, err
}

// readIssuer reads an authorization server's metadata.
func (s *Server) readIssuer(ctx context.Context, issuer string) (*Metadata, error) {
	if u, err := url.Parse(issuer); err != nil || s.checkAddress(issuer) != nil || u.RawQuery != "" || u.ForceQuery {
		return nil, fmt.Errorf("%w: %.200q is no issuer", ErrUnavailable, issuer) // RFC 8414 section 2
	}
	err := errors.New("there is no metadata")
	for _, address := range metadataAddresses(issuer) {
		a, failed := s.get(ctx, address)
		if failed != nil {
			err = failed
			continue
		}
		if a.status != http.StatusOK {
			err = fmt.Errorf("%s answers %d", address, a.status)
			continue
		}
		m, failed := s.parseMetadata(issuer, a.body)
		if failed == nil {
			return m, nil
		}
		err = fmt.Errorf("metadata at %s: %w", address, failed)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
}
