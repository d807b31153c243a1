package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mcpgateway/functions/audit/store"
	"mcpgateway/internal/atomicfile"
)

// Leave implements store.Shelf.
func (s *Store) Leave(_ context.Context, server string, left []byte) error {
	path := filepath.Join(s.folder, store.ShelfFolder, server)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("leave lists: %w", err)
	}
	if err := atomicfile.Replace(path, left); err != nil {
		return fmt.Errorf("leave lists: %w", err)
	}
	return nil
}

// Left implements store.Shelf.
func (s *Store) Left(_ context.Context, server string) ([]byte, error) {
	left, err := os.ReadFile(filepath.Join(s.folder, store.ShelfFolder, server))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read lists: %w", err)
	}
	return left, nil
}
