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
	"strings"
	"time"

	"golang.org/x/time/rate"

	"mcpgateway/functions/oauth/client"
	"mcpgateway/functions/oauth/grant"
	"mcpgateway/functions/oauth/provider"
	"mcpgateway/functions/oauth/seal"
	"mcpgateway/functions/oauth/store"
	"mcpgateway/functions/oauth/store/bolt"
	"mcpgateway/functions/oauth/store/dynamo"
	"mcpgateway/functions/oauth/token"
	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy/secretfolder"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/secret"
)

// The files in the folder for state.
const (
	storeFile = "oauth.db"
	keyFile   = "seal.key"
)

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
	if err := os.MkdirAll(p.OAuth.State, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	if p.OAuth.Table == "" {
		return bolt.Open(filepath.Join(p.OAuth.State, storeFile), now)
	}
	aws, err := awsenv.Config("DYNAMODB")
	if err != nil {
		return nil, fmt.Errorf("oauth.table: %w", err)
	}
	return dynamo.Open(context.Background(), dynamo.Config{Table: p.OAuth.Table, AWS: aws, Now: now})
}

// sealKey is the key that seals. Processes that share a table need the same one: each would make its own, and read nothing of
// the others'.
func sealKey(o *catalog.OAuth) ([]byte, error) {
	file := filepath.Join(o.State, keyFile)
	if _, err := os.Stat(file); o.Table != "" && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: with oauth.table it is not made here, since all processes need the same %d random bytes", file, seal.KeySize)
	}
	key, err := secretfolder.RandomFile(file, seal.KeySize)
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
	s.documents.Store(v)
	if s.provider, err = newProvider(v.Platform, now); err != nil {
		return nil, err
	}
	static, err := staticClients(c.Clients)
	if err != nil {
		return nil, err
	}
	s.clients = &client.Clients{Static: static, Registered: &client.Registry{Store: kept, Now: now}, Documents: client.NewDocuments(now, nil)}
	s.grants = &grant.Grants{Store: kept, Sealer: sealer, Provider: s.provider, Now: now}
	s.keys = token.NewKeys(kept, sealer, now)
	s.routes()
	return s, nil
}

// accept puts a version of the documents in force.
func (s *server) accept(v *documents.Version) error {
	if v.Platform.OAuth == nil || v.Platform.OAuth.URL != s.url {
		return errors.New("a change of the platform's oauth section needs a restart")
	}
	s.documents.Store(v)
	return nil
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

// staticClients reads the operator's clients.
func staticClients(list []catalog.OAuthClient) (client.Static, error) {
	static := client.Static{}
	for _, o := range list {
		c := &client.Client{ID: o.ID, Name: o.Name, RedirectURIs: o.Redirects, Auth: client.AuthNone, Assured: true,
			Grants: []string{client.GrantCode, client.GrantRefresh}}
		for _, uri := range o.Redirects {
			if err := client.CheckRedirect(uri); err != nil {
				return nil, fmt.Errorf("oauth.clients: %s: %w", o.ID, err)
			}
		}
		if len(o.Redirects) == 0 {
			c.Grants = []string{client.GrantCredentials}
		}
		switch {
		case o.Secret != "":
			text, err := readSecret(o.Secret)
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
		}
		static[o.ID] = c
	}
	return static, nil
}
