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

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/deploy/packages"
	"mcpgateway/internal/imagelock"
)

const bakeUsage = `Usage: mcpgateway bake --prefix REGISTRY/PATH [FLAGS]

Makes an image of the shim, and one for each npx and uvx server of the catalog, with its package installed; pushes them,
and writes the lock file that says which image a server runs. Needs npm or uv, and no container engine.

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
	on := flags.String("on", "linux/amd64", "what servers run on, as `OS/ARCH`")
	if code, goOn := parseOnly(flags, args); !goOn {
		return code
	}
	if *prefix == "" {
		fmt.Fprintln(stderr, "mcpgateway bake: --prefix is missing: where images are to be")
		return exitUsage
	}
	err := func() error {
		system, err := v1.ParsePlatform(*on)
		if err != nil {
			return fmt.Errorf("--on: %w", err)
		}
		return bakeAll(ctx, *platform, *lock, bake.Config{Shim: *shim, Prefix: *prefix, Archives: *archives, Platform: *system,
			Bases: map[string]string{deploy.RegistryNPM: *node, deploy.RegistryPyPI: *python}}, stdout, stderr)
	}()
	if err != nil {
		fmt.Fprintln(stderr, "mcpgateway bake:", err)
		return exitProblems
	}
	return exitOK
}

// bakeAll fills in what the platform says, bakes, and says what comes next.
func bakeAll(ctx context.Context, platform, lock string, c bake.Config, stdout, stderr io.Writer) (err error) {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return err
	}
	servers, err := catalog.LoadCatalog(p.Catalog, p, compile.Check)
	if err != nil {
		return err
	}
	k := p.Deployer.Knative
	if k == nil {
		k = &catalog.Knative{Lock: filepath.Join(filepath.Dir(platform), "catalog.lock")}
	}
	lock = cmp.Or(lock, k.Lock)
	c.Bases[deploy.RegistryNPM] = cmp.Or(c.Bases[deploy.RegistryNPM], k.Images.Node, nodeBase)
	c.Bases[deploy.RegistryPyPI] = cmp.Or(c.Bases[deploy.RegistryPyPI], k.Images.Python, pythonBase)
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
	fmt.Fprintf(stdout, "%d images of servers, named in %s\nIn the platform file:\n  deployer: {knative: {images: {shim: %q}}}\n", len(made.Lines), lock, made.Shim)
	return nil
}
