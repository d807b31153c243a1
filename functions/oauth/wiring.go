package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/apikey"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy/secretfolder"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/store"
	"mcpgateway/internal/store/bolt"
	"mcpgateway/internal/store/dynamo"
)

// storeFile is in the folder for state.
const storeFile = "oauth.db"

// keeper is a store until it is closed.
type keeper interface {
	store.Store
	io.Closer
}

// openStore opens the store: the platform's table, or a file that is made where there is none.
func openStore(p *catalog.Platform, now func() time.Time) (keeper, error) {
	if p.OAuth == nil {
		return nil, errors.New("the platform file has no oauth section")
	}
	if p.OAuth.Table == "" {
		if err := os.MkdirAll(p.OAuth.State, 0o700); err != nil {
			return nil, fmt.Errorf("make state folder: %w", err)
		}
		return bolt.Open(filepath.Join(p.OAuth.State, storeFile), now)
	}
	kept, err := dynamo.Start(context.Background(), p.OAuth.Table, now)
	if err != nil {
		return nil, fmt.Errorf("oauth.table: %w", err)
	}
	return kept, nil
}

// sealKey is the key that seals. Processes that share a table need the same one: each would make its own, and read nothing of
// the others'.
func sealKey(o *catalog.OAuth) ([]byte, error) {
	if _, err := os.Stat(o.Key); o.Table != "" && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: with oauth.table it is not made here, since all processes need the same %d random bytes", o.Key, seal.KeySize)
	}
	key, err := secretfolder.RandomFile(o.Key, seal.KeySize)
	if err != nil {
		return nil, fmt.Errorf("read the key that seals: %w", err)
	}
	return key, nil
}

// newServer wires the server. It contacts nobody.
func newServer(v *documents.Version, kept store.Store, log *slog.Logger, now func() time.Time) (*server, error) {
	c := v.Platform.OAuth
	key, err := sealKey(c)
	if err != nil {
		return nil, err
	}
	sealer, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	s := &server{url: c.URL, host: hostOf(c.URL), providers: c.Provider.URL, sealer: sealer, store: kept, log: log, now: now,
		register: rate.NewLimiter(registerRate, registerBurst)}
	if err := s.accept(v); err != nil {
		return nil, err
	}
	if s.shared, err = sharedVerifiers(v.Platform, now, log); err != nil {
		return nil, err
	}
	if s.asserted, err = ofProvider(v.Platform, identity.TypeIDJAG, []string{s.url}, now, log); err != nil {
		return nil, err
	}
	if s.provider, err = newProvider(v.Platform, now); err != nil {
		return nil, err
	}
	static, err := staticClients(c.Clients)
	if err != nil {
		return nil, err
	}
	static[apikey.Client] = gatewayClient()
	s.clients = &client.Clients{Static: static, Registered: &client.Registry{Store: kept, Now: now}, Documents: client.NewDocuments(now, nil),
		Keys: client.NewKeySets(now, nil)}
	s.grants = &grant.Grants{Store: kept, Sealer: sealer, Provider: s.provider, Now: now}
	s.keys = token.NewKeys(kept, sealer, now)
	if s.accounts, err = newAccounts(c, key, kept, now); err != nil {
		return nil, err
	}
	s.routes()
	return s, nil
}

// accept puts a version of the documents in force.
func (s *server) accept(v *documents.Version) error {
	if v.Platform.OAuth == nil || v.Platform.OAuth.URL != s.url {
		return errors.New("a change of the platform's oauth section needs a restart")
	}
	next := &view{}
	var err error
	config := identity.Config{Issuers: others(v.Platform), Logger: s.log, Now: s.now}
	if before := s.view.Load(); before != nil {
		config.Before = before.callers
	}
	if next.callers, err = identity.NewVerifier(config); err != nil {
		return err
	}
	if next.admission, err = policy.CompileAdmission(v.Catalog.Policies, v.Platform.Issuers); err != nil {
		return err
	}
	s.view.Store(next)
	s.documents.Store(v)
	return nil
}

// others are the issuers besides this one, whose tokens it knows itself.
func others(p *catalog.Platform) []identity.Issuer {
	return slices.DeleteFunc(slices.Clone(p.Issuers), func(i identity.Issuer) bool { return i.URL == p.OAuth.URL })
}

// ofProvider takes the provider's tokens of a type, its access tokens where that is empty, for some audiences.
func ofProvider(p *catalog.Platform, tokenType string, audiences []string, now func() time.Time, log *slog.Logger) (*identity.Verifier, error) {
	at := slices.IndexFunc(p.Issuers, func(i identity.Issuer) bool { return i.URL == p.OAuth.Provider.URL })
	from := p.Issuers[at] // which the platform's checks have found there
	from.Audiences, from.InsecureSharedAudience = audiences, true
	if tokenType != "" {
		from.TokenType = tokenType
	}
	return identity.NewVerifier(identity.Config{Issuers: []identity.Issuer{from}, Logger: log, Now: now})
}

// sharedVerifiers take, for each client that may exchange them, the provider's tokens with an audience that all servers share.
func sharedVerifiers(p *catalog.Platform, now func() time.Time, log *slog.Logger) (map[string]*identity.Verifier, error) {
	by := map[string]*identity.Verifier{}
	for _, c := range p.OAuth.Clients {
		if c.Exchange == nil || c.Exchange.Shared == nil {
			continue
		}
		v, err := ofProvider(p, "", c.Exchange.Shared, now, log)
		if err != nil {
			return nil, fmt.Errorf("oauth.clients: %s: %w", c.ID, err)
		}
		by[c.ID] = v
	}
	return by, nil
}

func newProvider(p *catalog.Platform, now func() time.Time) (*provider.Provider, error) {
	up := p.OAuth.Provider
	c := provider.Config{URL: up.URL, ClientID: up.ClientID, RedirectURL: p.OAuth.URL + callbackPath, Scopes: up.Scopes, Prompt: up.Prompt, Now: now}
	for _, i := range p.Issuers {
		if i.URL == up.URL {
			c.GroupsClaim = i.GroupsClaim
		}
	}
	if up.Secret != "" {
		text, err := readSecret(up.Secret)
		if err != nil {
			return nil, fmt.Errorf("oauth.provider.secret: %w", err)
		}
		c.Secret = secret.New(text)
	}
	return provider.New(c), nil
}

// readSecret reads a secret's file, without the line break at its end.
func readSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	secret := strings.TrimRight(string(text), "\r\n")
	if err == nil && secret == "" {
		err = fmt.Errorf("%s is empty", path)
	}
	return secret, err
}

// grantsOf are the grant types of one of the operator's clients. Who acts for others does not act for itself as well, but for
// shims, which call the filters of their server.
func grantsOf(o catalog.OAuthClient) (grants []string) {
	if len(o.Redirects) > 0 {
		grants = []string{client.GrantCode, client.GrantRefresh}
	}
	if o.Exchange != nil {
		grants = append(grants, client.GrantExchange)
	}
	if o.Assertions {
		grants = append(grants, client.GrantAssertion)
	}
	if o.Shim != "" || len(grants) == 0 {
		grants = append(grants, client.GrantCredentials)
	}
	return grants
}

// minSecret is how long a client's secret is at least: whoever asks may guess as often as they like (RFC 6749 section 2.3.1).
const minSecret = 16

// staticClients reads the operator's clients.
func staticClients(list []catalog.OAuthClient) (client.Static, error) {
	static := client.Static{}
	for _, o := range list {
		c := &client.Client{ID: o.ID, Name: o.Name, RedirectURIs: o.Redirects, Auth: client.AuthNone, Assured: true}
		for _, uri := range o.Redirects {
			if err := client.CheckRedirect(uri); err != nil {
				return nil, fmt.Errorf("oauth.clients: %s: %w", o.ID, err)
			}
		}
		if x := o.Exchange; x != nil {
			c.Exchange = &client.Exchange{Server: x.Server, Audiences: x.Audiences, Shared: x.Shared}
			if x.Account != nil {
				c.Exchange.Account = x.Account.Resource
			}
		}
		c.Shim, c.Grants = o.Shim, grantsOf(o)
		switch {
		case o.Secret != "":
			text, err := readSecret(o.Secret)
			if err == nil && len(text) < minSecret {
				err = fmt.Errorf("%s has less than %d characters, and could be guessed: make it of random ones", o.Secret, minSecret)
			}
			if err != nil {
				return nil, fmt.Errorf("oauth.clients: %s: %w", o.ID, err)
			}
			c.Auth, c.SecretHash = client.AuthBasic, seal.Hash(text)
		case o.Keys != "":
			text, err := os.ReadFile(o.Keys)
			if err == nil {
				c.Keys, err = client.ParseKeys(text)
			}
			if err != nil {
				return nil, fmt.Errorf("oauth.clients: %s: %w", o.ID, err)
			}
			c.Auth = client.AuthKeyJWT
		case o.KeysURL != "":
			if err := client.CheckKeysURI(o.KeysURL); err != nil {
				return nil, fmt.Errorf("oauth.clients: %s: %w", o.ID, err)
			}
			c.Auth, c.KeysURI = client.AuthKeyJWT, o.KeysURL
		}
		static[o.ID] = c
	}
	return static, nil
}
