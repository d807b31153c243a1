// Package publish leaves behind what the server says of itself, for the time in which it sleeps: it asks the server as
// clients of either era do, and leaves the answers, sealed, where the gateway finds them (package lists).
//
// It filters nothing: whoever answers by them does, for each caller.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"mcpgateway/internal/lists"
	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/secret"
	"mcpgateway/shim/call"
	"mcpgateway/shim/ruleset"
)

// Config is what a Publisher needs; all fields are required.
type Config struct {
	Server     string
	Revision   string // of its entry in the catalog
	Place      *lists.Place
	Credential secret.Text // of the place
	Key        *lists.Key
	Rules      func() *ruleset.Set
	Ready      func(context.Context) error // whether the server can be asked
	Ask        func(context.Context, *call.Exchange) (*http.Response, error)
	Speaks     func(mcp.Era) bool // whether the server itself speaks an era: else what is asked in it is translated
	Logger     *slog.Logger
}

// Publisher asks one server.
type Publisher struct{ Config }

// New makes a Publisher.
func New(c Config) (*Publisher, error) {
	if c.Server == "" || c.Revision == "" || c.Place == nil || c.Credential.Empty() || c.Key == nil || c.Rules == nil || c.Ready == nil ||
		c.Ask == nil || c.Speaks == nil || c.Logger == nil {
		return nil, errors.New("publish: every field is required")
	}
	return &Publisher{c}, nil
}

// When and for how long the server is asked. A while after it is ready, since it may be gone before its shim when all of a pod
// is told to stop; and once more before the shim goes, since lists change.
const (
	look        = 200 * time.Millisecond
	settle      = time.Second
	firstWithin = 20 * time.Second
	lastWithin  = 3 * time.Second
)

// First publishes once the server is there, unless ctx ends before.
func (p *Publisher) First(ctx context.Context) {
	for wait := look; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if wait == settle {
			break
		}
		if p.Ready(ctx) == nil {
			wait = settle
		}
	}
	p.publish(ctx, firstWithin)
}

// Last publishes before the shim goes. A server that is gone already is not waited for: what it said first stays.
func (p *Publisher) Last() { p.publish(context.Background(), lastWithin) }

func (p *Publisher) publish(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	s, err := p.snapshot(ctx)
	if err == nil {
		err = p.Place.Leave(ctx, p.Key, s, p.Credential)
	}
	if err != nil {
		p.Logger.Warn("the server's lists are not kept for the time in which it sleeps", "server", p.Server, "error", err)
		return
	}
	p.Logger.Info("lists kept", "server", p.Server, "legacy", len(s.Legacy), "modern", len(s.Modern))
}

// snapshot asks the server everything. A method that it does not answer well is left out.
func (p *Publisher) snapshot(ctx context.Context) (*lists.Snapshot, error) {
	set := p.Rules()
	s := &lists.Snapshot{Server: p.Server, Revision: p.Revision, Made: time.Now().Round(0)}
	var err error
	if s.Policies, err = policy.Fingerprint(set.Rules.Policies); err != nil {
		return nil, fmt.Errorf("name the policies: %w", err)
	}
	a := &asking{p: p, rules: set}
	if a.credential, err = set.Exchange.Credential(ctx, secret.Text{}, a.who()); err != nil {
		return nil, err
	}
	modern, err := a.modern(ctx)
	if err != nil {
		return nil, err
	}
	legacy, err := a.legacy(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(modern)+len(legacy) == 0 {
		return nil, errors.New("the server says nothing of itself")
	}
	p.honour(s, modern, legacy)
	return s, nil
}

// honour keeps what may be given to others, and for how long, as the server said (MCP 2026-07-28, server utilities, caching):
// what is private may be another for each caller, and what is stale at once is for nobody. Of what a legacy server says the
// operator said so, who wrote discovery: cached.
func (p *Publisher) honour(s *lists.Snapshot, modern, legacy map[string]said) {
	s.Modern, s.Legacy = map[string]lists.Result{}, map[string]lists.Result{}
	translated := !p.Speaks(mcp.Legacy)
	hinted := p.Speaks(mcp.Modern) || translated
	for method, m := range modern {
		if r := (lists.Result{Value: m.value}); !hinted || m.lasts(&r, s.Made) {
			s.Modern[method] = r
		}
	}
	for method, m := range legacy {
		of := method
		if method == "initialize" {
			of = "server/discover"
		}
		hints := modern[of]
		if r := (lists.Result{Value: m.value}); !translated || hints.lasts(&r, s.Made) {
			s.Legacy[method] = r
		}
	}
}
