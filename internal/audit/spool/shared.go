package spool

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// maxAbandoned bounds how many spools of others are taken over at once: each holds a few open files.
const maxAbandoned = 16

// OpenShared opens a spool in a folder that several processes share, which has one folder for each of them. What others
// left behind is taken over: one to go on with, the rest to be delivered and removed.
func OpenShared(c Config, log *slog.Logger) (own *Spool, abandoned []*Spool, err error) {
	if c.Folder == "" {
		return nil, nil, errors.New("spool: a folder is required")
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, nil, fmt.Errorf("open spool: %w", err)
	}
	entries, err := os.ReadDir(c.Folder)
	if err != nil {
		return nil, nil, fmt.Errorf("open spool: %w", err)
	}
	open := func(name string) (*Spool, error) {
		return Open(Config{Folder: filepath.Join(c.Folder, name), MaxBytes: c.MaxBytes})
	}
	for _, e := range entries {
		if !e.IsDir() || len(abandoned) == maxAbandoned {
			continue
		}
		s, err := open(e.Name())
		switch {
		case errors.Is(err, ErrBusy):
		case err != nil: // it must not keep us from working
			log.Error("audit records are left behind", "folder", e.Name(), "error", err)
		case own == nil:
			own = s
		default:
			abandoned = append(abandoned, s)
		}
	}
	for tries := 0; own == nil; tries++ {
		var name [8]byte
		_, _ = rand.Read(name[:]) // never fails: crypto/rand
		// Another who starts now may take the folder before we lock it.
		if own, err = open(hex.EncodeToString(name[:])); err != nil && (tries == 3 || !errors.Is(err, ErrBusy)) {
			return nil, nil, err
		}
	}
	return own, abandoned, nil
}
