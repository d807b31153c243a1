package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/servertoken"
	"mcpgateway/internal/store"
	"mcpgateway/internal/store/bolt"
	"mcpgateway/internal/store/dynamo"
)

// storeFile is in the folder for state.
const storeFile = "sessions.db"

// namedFiles are what is read besides the platform file, secrets among them.
func namedFiles(platform string) []string {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return nil // whoever reads it next says why
	}
	files := []string{p.Catalog}
	if p.Sessions != nil {
		files = append(files, p.Sessions.Files()...)
	}
	return files
}

// readTokens reads the key of servers' tokens. Where records are kept on this machine one is made if there is none.
func readTokens(c *catalog.SessionStore) (servertoken.Key, error) {
	return servertoken.Read(servertoken.Sessions, c.Key, c.Table == "")
}

// keeper is a store until it is closed.
type keeper interface {
	store.Store
	io.Closer
}

// openStore opens what the platform names: a table, or a file that is made where there is none.
func openStore(c *catalog.SessionStore, now func() time.Time) (keeper, error) {
	if c.Table == "" {
		if err := os.MkdirAll(c.State, 0o700); err != nil {
			return nil, fmt.Errorf("make state folder: %w", err)
		}
		return bolt.Open(filepath.Join(c.State, storeFile), now)
	}
	kept, err := dynamo.Start(context.Background(), c.Table, now)
	if err != nil {
		return nil, fmt.Errorf("sessions.table: %w", err)
	}
	return kept, nil
}
