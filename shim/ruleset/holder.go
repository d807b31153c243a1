// Package ruleset keeps the rules that are in force: it reads the signed file, compiles it, and reads it again when it
// changes. A version that is broken, forged, for another server or older than the one in force changes nothing.
package ruleset

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/condition"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/rules"
	"mcpgateway/shim/exchange"
)

// reload is how often the file is looked at. Looking is one stat: a mounted file tells nobody that it changed.
const reload = time.Second

// Config is what a Holder needs; all fields but Secrets and Exchanging are required.
type Config struct {
	Server string            // the id that the rules must be for
	Path   string            // the signed file
	Key    ed25519.PublicKey // of the deployer
	Logger *slog.Logger
	// Secrets are what credentials are made of.
	Secrets exchange.Secrets
	// Exchanging is told of requests to token endpoints: Outgoing of package exchange.
	Exchanging func(ctx context.Context, endpoint *url.URL) (_ context.Context, end func(status int, failure string))
}

// Set is one version of the rules, ready to decide.
type Set struct {
	Rules    rules.Rules
	Verifier *identity.Verifier
	Policies *policy.Set
	Exchange *exchange.Exchanger // nil where the server is sent nothing of anybody's
	Filters  Filters
	Audit    *audit.Keeping

	issuers     []byte // as JSON: the verifier is kept, with what it has cached, while they stay the same
	credentials []byte // likewise, the exchanger and the tokens it has
}

// Holder has the current Set.
type Holder struct {
	config  Config
	current atomic.Pointer[Set]
	seen    os.FileInfo
}

// NewHolder reads the rules for the first time.
func NewHolder(c Config) (*Holder, error) {
	if c.Server == "" || c.Path == "" || len(c.Key) != ed25519.PublicKeySize || c.Logger == nil {
		return nil, errors.New("rules: server, path, key and logger are required")
	}
	h := &Holder{config: c}
	return h, h.load()
}

// Current is the version in force.
func (h *Holder) Current() *Set { return h.current.Load() }

// Watch reads the file again when it changes, until ctx ends.
func (h *Holder) Watch(ctx context.Context) {
	tick := time.NewTicker(reload)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		info, err := os.Stat(h.config.Path)
		if err == nil && h.seen != nil && os.SameFile(info, h.seen) && info.ModTime().Equal(h.seen.ModTime()) && info.Size() == h.seen.Size() {
			continue
		}
		if err == nil {
			err = h.load()
		}
		if err != nil {
			h.config.Logger.Error("rules not reloaded, the old version stays in force", "error", err, "version", h.Current().Rules.Version)
		}
	}
}

func (h *Holder) load() error {
	file, err := os.Open(h.config.Path)
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	defer file.Close()
	if h.seen, err = file.Stat(); err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	signed, err := io.ReadAll(io.LimitReader(file, rules.MaxBytes+1)) // Open refuses one byte too many
	if err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	next, err := h.compile(signed)
	if err != nil {
		return err
	}
	if old := h.Current(); old == nil || old.Rules.Version != next.Rules.Version {
		h.current.Store(next)
		h.config.Logger.Info("rules in force", "server", next.Rules.Server, "version", next.Rules.Version)
	}
	return nil
}

func (h *Holder) compile(signed []byte) (*Set, error) {
	r, err := rules.Open(h.config.Key, signed)
	if err != nil {
		return nil, err
	}
	old := h.Current()
	if r.Server != h.config.Server {
		return nil, fmt.Errorf("rules are for %q, not for %q", r.Server, h.config.Server)
	}
	if len(r.Resources) == 0 {
		return nil, errors.New("rules name no URL of the server")
	}
	if old != nil && r.Version < old.Rules.Version {
		return nil, fmt.Errorf("rules version %d is older than %d", r.Version, old.Rules.Version)
	}
	s := &Set{Rules: r}
	if s.Policies, err = policy.Compile(r.Policies, r.Issuers, condition.Loader{}.Load); err != nil {
		return nil, fmt.Errorf("compile policies: %w", err)
	}
	if s.Filters, err = compileFilters(r.Filters, h.config.Secrets.OAuth); err != nil {
		return nil, fmt.Errorf("compile filters: %w", err)
	}
	if s.Audit, err = audit.Compile(r.Audit); err != nil {
		return nil, fmt.Errorf("compile rules: %w", err)
	}
	if s.issuers, err = json.Marshal(r.Issuers); err != nil {
		return nil, fmt.Errorf("compile rules: %w", err)
	}
	if err := h.compileCredentials(s, old); err != nil {
		return nil, err
	}
	if old != nil && bytes.Equal(old.issuers, s.issuers) {
		s.Verifier = old.Verifier
		return s, nil
	}
	s.Verifier, err = identity.NewVerifier(identity.Config{Issuers: r.Issuers, Logger: h.config.Logger})
	return s, err
}

// compileCredentials makes the set's exchanger. Rules that name a secret which this shim was not given are refused: the
// deployer starts another that has it.
func (h *Holder) compileCredentials(s, old *Set) (err error) {
	if s.Rules.Credentials == nil {
		return nil
	}
	c := exchange.Config{Resource: s.Rules.Resources[0], Rules: *s.Rules.Credentials, Secrets: h.config.Secrets, Logger: h.config.Logger,
		Outgoing: h.config.Exchanging}
	if s.credentials, err = json.Marshal([]any{c.Resource, c.Rules}); err != nil {
		return fmt.Errorf("compile credentials: %w", err)
	}
	if old != nil && bytes.Equal(old.credentials, s.credentials) {
		s.Exchange = old.Exchange
		return nil
	}
	if s.Exchange, err = exchange.New(c); err != nil {
		return fmt.Errorf("compile credentials: %w", err)
	}
	return nil
}
