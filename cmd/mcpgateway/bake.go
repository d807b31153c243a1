package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/docker"
	"mcpgateway/internal/deploy/packages"
	"mcpgateway/internal/imagelock"
)

const bakeUsage = `Usage: mcpgateway bake [--prefix REGISTRY/PATH] [FLAGS]

Makes an image of the shim, and one for each npx and uvx server of the catalog, with its package installed; pushes them,
and writes the lock file that says which image a server runs. Needs npm or uv, and no container engine.

Where the platform file says that servers run on a Docker Engine (deployer.docker), images are loaded into it, and --prefix is
not needed.

`

// The base images where nobody names others.
const (
	nodeBase   = "docker.io/library/node:22-slim"
	pythonBase = "docker.io/library/python:3.13-slim"
)

func bakeImages(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := newFlags("bake", bakeUsage, stderr)
	platform := flags.String("platform", "platform.yaml", "platform `FILE`, which names catalog and lock file")
	lock := flags.String("lock", "", "lock `FILE` instead of the platform's")
	shim := flags.String("shim", "", "the shim's `PROGRAM`, built for what servers run on; the file shim beside this one")
	prefix := flags.String("prefix", "", "what image names begin with, such as registry.example.com/mcp")
	archives := flags.String("archives", "", "write archives into this `FOLDER` instead of pushing")
	node := flags.String("node", "", "base `IMAGE` of npx servers, a reference or an archive that ends in .tar; the platform's, or "+nodeBase)
	python := flags.String("python", "", "base `IMAGE` of uvx servers; the platform's, or "+pythonBase)
	on := flags.String("on", "", "what servers run on, as `OS/ARCH`; linux/amd64, or with an engine linux and what this machine is")
	if code, goOn := parseOnly(flags, args); !goOn {
		return code
	}
	err := bakeAll(ctx, *platform, *lock, *on, bake.Config{Shim: *shim, Prefix: *prefix, Archives: *archives,
		Bases: map[string]string{deploy.RegistryNPM: *node, deploy.RegistryPyPI: *python}}, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "mcpgateway bake:", err)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNoPrefix):
		return exitUsage
	}
	return exitProblems
}

var errNoPrefix = errors.New("--prefix is missing: where images are to be")

// bakeAll fills in what the platform says, bakes, and says what comes next.
func bakeAll(ctx context.Context, platform, lock, on string, c bake.Config, stdout, stderr io.Writer) (err error) {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return err
	}
	servers, err := catalog.LoadCatalog(p.Catalog, p, compile.Check)
	if err != nil {
		return err
	}
	lock, closer, err := fillIn(ctx, &c, p, platform, lock, on)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if c.Shim == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.Shim = filepath.Join(filepath.Dir(self), "shim")
	}
	c.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	folder, err := os.MkdirTemp("", "mcp-packages")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	store, err := packages.Open(packages.Config{Folder: folder, Logger: c.Logger})
	if err != nil {
		return err
	}
	defer store.Close()
	c.Store = store
	made, err := bake.Bake(ctx, servers.Servers, c)
	if err != nil {
		return err
	}
	if err := imagelock.Write(lock, made.Lines); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d images of servers, named in %s\n", len(made.Lines), lock)
	if c.Load == nil {
		fmt.Fprintf(stdout, "In the platform file:\n  deployer: {knative: {images: {shim: %q}}}\n", made.Shim)
	}
	return nil
}

// fillIn takes from the platform what the command line left open. It returns the lock file, and what to close at the end.
func fillIn(ctx context.Context, c *bake.Config, p *catalog.Platform, platform, lock, on string) (string, io.Closer, error) {
	var closer io.Closer = io.NopCloser(nil)
	node, python, standard, system := "", "", filepath.Join(filepath.Dir(platform), "catalog.lock"), "linux/amd64"
	switch k, d := p.Deployer.Knative, p.Deployer.Docker; {
	case k != nil:
		node, python, standard = k.Images.Node, k.Images.Python, k.Lock
	case d != nil:
		node, python, standard, system = d.Images.Node, d.Images.Python, d.Lock, "linux/"+runtime.GOARCH
		if c.Archives != "" || c.Prefix != "" {
			break
		}
		c.Prefix = docker.Prefix
		var err error
		if c.Load, closer, err = docker.OpenLoader(ctx, d.Engine); err != nil {
			return "", nil, err
		}
	}
	if c.Prefix == "" {
		return "", nil, errNoPrefix
	}
	parsed, err := v1.ParsePlatform(cmp.Or(on, system))
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("--on: %w", err), closer.Close())
	}
	c.Platform = *parsed
	c.Bases[deploy.RegistryNPM] = cmp.Or(c.Bases[deploy.RegistryNPM], node, nodeBase)
	c.Bases[deploy.RegistryPyPI] = cmp.Or(c.Bases[deploy.RegistryPyPI], python, pythonBase)
	return cmp.Or(lock, standard), closer, nil
}
