package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
)

var serverName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123 label

// SetRules puts signed rules in force for all instances of server: the file in the folder that they mount is replaced at
// once. An instance can only start once its server has rules.
func (d *Deployer) SetRules(_ context.Context, server string, signed []byte) error {
	if !serverName.MatchString(server) {
		return fmt.Errorf("set rules: %q is not a server's name", server)
	}
	// The folder is mounted and not the file, which is another after every change. Who runs the shim may not be who runs us.
	folder := d.config.rules(server)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	path := filepath.Join(folder, rulesFile)
	if err := atomicfile.ReplaceMode(path, signed, 0o644); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	return nil
}

// Rules returns what SetRules put in force last; fs.ErrNotExist where it never did.
func (d *Deployer) Rules(server string) ([]byte, error) {
	if !serverName.MatchString(server) {
		return nil, fmt.Errorf("read rules: %q is not a server's name", server)
	}
	return os.ReadFile(filepath.Join(d.config.rules(server), rulesFile))
}

// Retain removes the rules of servers that are not named and of which nothing runs.
func (d *Deployer) Retain(_ context.Context, servers []string) error {
	for _, g := range d.of(nil) {
		servers = append(servers, g.key.Server)
	}
	folders, err := os.ReadDir(d.config.rules(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	problems := []error{err} // ReadDir returns what it could read besides its error
	for _, f := range folders {
		if name := f.Name(); serverName.MatchString(name) && !slices.Contains(servers, name) {
			problems = append(problems, os.RemoveAll(d.config.rules(name)))
		}
	}
	return errors.Join(problems...)
}

// Prepare has the images of servers fetched in the background, before anybody calls. It does not wait.
func (d *Deployer) Prepare(ctx context.Context, needs []deploy.Need) error {
	for _, n := range needs {
		if n.Image != "" && d.images.missing(ctx, n.Image) {
			_ = d.images.pull(n.Image) // the log has said it
		}
	}
	return nil
}
