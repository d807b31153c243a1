// Package filter is the stage that has others look at messages before they go on: MCP servers whose tool speaks the
// filters' contract (package verdict), converters of webhooks among them.
//
// Filters are asked in the catalog's order, each about the message as the one before left it. The first that refuses ends
// it. Which messages a filter is asked about is package selector's to say; whether a mutated message may go on is decided
// by the chain as if the caller had sent it.
package filter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"sync"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/rules"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/selector"
	"mcpgateway/shim/call"
	"mcpgateway/shim/exchange"
	"mcpgateway/shim/remote"
	"mcpgateway/shim/ruleset"
	"mcpgateway/shim/verdict"
)

// Config is what a Stage needs.
type Config struct {
	Sockets map[string]string // of the converters beside the shim, by the filter's name
	Remote  remote.Remote     // how filters that run elsewhere are reached; where they may be stands in the rules
	Logger  *slog.Logger
	// Outgoing is told of each question to a filter, of which no status is known yet, and then of what came of it.
	Outgoing func(ctx context.Context, asked audit.Verdict) (_ context.Context, end func(audit.Verdict))
	// OAuth is the secret of the client that the shim is at our own authorization server, where filters are servers of the
	// catalog; Exchanging is told of requests for tokens, as Outgoing of package exchange.
	OAuth      secret.Text
	Exchanging func(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string))
}

// Stage asks filters. It keeps a session with each server, over versions of the rules.
type Stage struct {
	config Config

	mu      sync.Mutex
	servers map[string]*server // by where and what they are

	awaited sync.Map // sockets that were there once
}

// New makes a Stage.
func New(c Config) (*Stage, error) {
	if c.Logger == nil || c.Outgoing == nil || c.Remote.ConnectTimeout <= 0 {
		return nil, errors.New("filter: Logger, Outgoing and Remote.ConnectTimeout are required")
	}
	return &Stage{config: c, servers: map[string]*server{}}, nil
}

// Ready tells whether every converter has been there once: a call must not be refused because the shim was faster. What
// comes after a converter's crash is for onError to say.
func (s *Stage) Ready(ctx context.Context) error {
	for name, path := range s.config.Sockets {
		if _, ok := s.awaited.Load(path); ok {
			continue
		}
		conn, err := remote.Local("unix", path).Dial(ctx)
		if err != nil {
			return fmt.Errorf("filter %s: %w", name, err)
		}
		_ = conn.Close()
		s.awaited.Store(path, true)
	}
	return nil
}

// server returns the server of a filter, which is asked at a depth.
func (s *Stage) server(f *ruleset.Filter, depth int) (*server, error) {
	key := "socket " + f.Name
	if f.Server != nil {
		key = fmt.Sprintf("url %q %q %q", f.Server.URL, f.Server.Tool, f.Server.Egress)
	}
	if f.Server != nil && f.Server.Caller != nil {
		key += fmt.Sprintf(" as %q %q at %d", f.Server.Caller.Issuer, f.Server.Caller.Client, depth)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.servers[key]; known != nil {
		return known, nil
	}
	made, err := s.newServer(f, depth)
	if err != nil {
		return nil, err
	}
	if len(s.servers) >= maxServers { // of versions of the rules that nobody uses any more
		maps.DeleteFunc(s.servers, func(string, *server) bool { return true })
	}
	s.servers[key] = made
	return made, nil
}

// maxServers bounds how many servers' sessions are kept.
const maxServers = 200

func (s *Stage) newServer(f *ruleset.Filter, depth int) (*server, error) {
	if f.Server == nil {
		path := s.config.Sockets[f.Name]
		if path == "" {
			return nil, errors.New("the shim has no converter of that name beside it")
		}
		return newServer(bounded{remote.Local("unix", path)}, "http://filter/mcp", verdict.Tool, true), nil
	}
	r := s.config.Remote
	r.Egress = f.Egress
	p, err := r.Client(f.URL)
	if err != nil {
		return nil, err
	}
	if f.Server.Caller == nil {
		return newServer(bounded{p}, f.URL.String(), f.Server.Tool, false), nil
	}
	self, err := exchange.NewSelf(exchange.SelfConfig{Server: *f.Server, Depth: depth, Secret: s.config.OAuth, Outgoing: s.config.Exchanging})
	if err != nil {
		return nil, err
	}
	return newServer(known{bounded{p}, self}, f.URL.String(), f.Server.Tool, false), nil
}

// subject is a message on its way through the filters.
type subject struct {
	raw   []byte
	named selector.Message
	// accept reads a mutated message and says what it is called, or why it cannot stand for the one it replaces.
	accept func(raw []byte) (selector.Message, error)
}

// rejection ends a message.
type rejection struct {
	reason string // for the caller
}

// run has the filters look at a message, and leaves in m what may go on. The error is ctx's.
func (s *Stage) run(ctx context.Context, x *call.Exchange, d selector.Direction, m *subject) (*rejection, error) {
	for _, f := range x.Rules.Filters[d] {
		if !f.Selects(d, m.named) {
			continue
		}
		r, err := s.check(ctx, x, f, d, m)
		if r != nil || err != nil {
			return r, err
		}
	}
	return nil, nil
}

// check asks one filter.
func (s *Stage) check(ctx context.Context, x *call.Exchange, f *ruleset.Filter, d selector.Direction, m *subject) (*rejection, error) {
	began := time.Now()
	review := audit.Verdict{Type: "request", Method: call.Clip(m.named.Method), Name: f.Name, Tool: verdict.Tool, Status: audit.VerdictOK}
	if d == selector.Response {
		review.Type = "response"
	}
	if f.Server != nil {
		review.Tool, review.Server = f.Server.Tool, f.Server.Entry
	}
	asked, end := s.config.Outgoing(ctx, review)
	defer func() { end(review) }()
	v, err := s.ask(asked, x, f, m.raw)
	if ctx.Err() != nil {
		review.Status = audit.VerdictError
		return nil, ctx.Err()
	}
	if err == nil && v.Accept && v.Message != nil {
		err = m.mutate(f, v.Message)
	}
	var r *rejection
	switch {
	case err != nil:
		review.Status, review.Message = audit.VerdictError, verdict.Shown(err.Error())
		if f.OnError != rules.OnErrorAccept {
			r = &rejection{"A filter could not check this, so it did not pass. Try again, or tell whoever runs this gateway"}
		}
	case !v.Accept:
		review.Status, review.Message = audit.VerdictRejected, v.Reason
		r = &rejection{refusedText(v.Reason)}
	case v.Message != nil:
		review.Status, review.Message = audit.VerdictMutated, v.Reason
	}
	review.Ms = float64(time.Since(began).Microseconds()) / 1000
	x.Review(review)
	if err != nil {
		s.config.Logger.Warn("filter failed", "filter", f.Name, "direction", review.Type, "method", review.Method, "onError", f.OnError,
			"request", x.RequestID(), "error", err)
	}
	return r, nil
}

func refusedText(reason string) string {
	if reason == "" {
		return "Refused by a filter; ask whoever runs this gateway"
	}
	return "Refused by a filter: " + reason
}

// ask bounds the question in size, and in time with everything that it takes.
func (s *Stage) ask(ctx context.Context, x *call.Exchange, f *ruleset.Filter, raw []byte) (verdict.Verdict, error) {
	if len(raw) > verdict.MaxMessage {
		return verdict.Verdict{}, fmt.Errorf("a message of more than %d bytes cannot be checked", verdict.MaxMessage)
	}
	depth, err := depthOf(x, f)
	if err != nil {
		return verdict.Verdict{}, err
	}
	server, err := s.server(f, depth)
	if err != nil {
		return verdict.Verdict{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	return server.ask(ctx, raw)
}

// mutate replaces the message, where the filter may and what it made is still that message.
func (m *subject) mutate(f *ruleset.Filter, raw []byte) error {
	if !f.Mutate {
		return errors.New("it changed the message, and may not: the catalog does not say mutate: true")
	}
	named, err := m.accept(raw)
	if err != nil {
		return fmt.Errorf("it made of the message what cannot go on: %w", err)
	}
	m.raw, m.named = raw, named
	return nil
}
