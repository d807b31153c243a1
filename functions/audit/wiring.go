package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"mcpgateway/functions/audit/store"
	"mcpgateway/functions/audit/store/cloud"
	"mcpgateway/functions/audit/store/local"
	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/policy"
	"mcpgateway/internal/servertoken"
)

// view is what is made of a version of the documents.
type view struct {
	platform *catalog.Platform
	verifier *identity.Verifier
	auditors *policy.Admission
	issuer   string // the default one
}

// auditors stands in the place of a server's id: who is admitted there may read. No entry has such an id.
const auditors = "audit.store"

// newServer wires the server. It contacts nobody.
func newServer(v *documents.Version, kept keeper, log *slog.Logger, now func() time.Time) (*server, error) {
	c, err := settingsOf(v.Platform)
	if err != nil {
		return nil, err
	}
	s := &server{store: kept, shelf: kept, keep: time.Duration(c.Keep), log: log, now: now}
	if s.tokens, err = readTokens(c); err != nil {
		return nil, err
	}
	return s, s.accept(v)
}

// readTokens reads the key of servers' tokens. Where records are kept on this machine one is made if there is none.
func readTokens(c *catalog.AuditStore) (servertoken.Key, error) {
	return servertoken.Read(servertoken.Audit, c.Key, c.Table == "")
}

func settingsOf(p *catalog.Platform) (*catalog.AuditStore, error) {
	if p.Audit == nil || p.Audit.Store == nil {
		return nil, errors.New("the platform file has no audit.store")
	}
	return p.Audit.Store, nil
}

// accept puts a version in force.
func (s *server) accept(v *documents.Version) error {
	c, err := settingsOf(v.Platform)
	if err != nil {
		return err
	}
	next := &view{platform: v.Platform, verifier: v.Verifier}
	next.auditors, err = policy.CompileAdmission([]policy.Policy{{Name: "auditors", Allow: &policy.Subjects{Groups: c.Auditors}, Servers: []string{auditors},
		Tools: []string{"*"}}}, v.Platform.Issuers)
	if err != nil {
		return fmt.Errorf("audit.store.auditors: %w", err)
	}
	for _, i := range v.Platform.Issuers {
		if i.Default {
			next.issuer = i.URL
		}
	}
	s.view.Store(next)
	return nil
}

// keeper is a store until it is closed.
type keeper interface {
	store.Store
	store.Shelf
	io.Closer
}

type open struct{ *cloud.Store }

// Close implements io.Closer: what is elsewhere stays open.
func (open) Close() error { return nil }

// openStore opens what the platform names: a folder, or a table and a bucket.
func openStore(p *catalog.Platform, now func() time.Time) (keeper, error) {
	c, err := settingsOf(p)
	if err != nil {
		return nil, err
	}
	if c.Table == "" {
		return local.Open(c.State)
	}
	index, err := awsenv.Config("DYNAMODB")
	if err != nil {
		return nil, fmt.Errorf("audit.store.table: %w", err)
	}
	objects, err := awsenv.Config("S3")
	if err != nil {
		return nil, fmt.Errorf("audit.store.bucket: %w", err)
	}
	s, err := cloud.Open(cloud.Config{Table: c.Table, Bucket: c.Bucket, DynamoDB: index, S3: objects, Keep: time.Duration(c.Keep), Now: now})
	return open{s}, err
}
