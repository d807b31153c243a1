// Package bake makes the images that a cluster runs: the shim's, and one for each server whose program is a package of npm
// or PyPI, with the package installed. Nothing is installed at a start any more, so that no wake waits for a registry and
// what ran yesterday runs today.
//
// Images are made from a base image and files, by library: no container engine is needed.
package bake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/imagelock"
)

// Config configures Bake.
type Config struct {
	Shim   string            // the shim's program: static, for the cluster's system
	Bases  map[string]string // base image of each registry's packages: a reference, or an archive's path that ends in .tar
	Prefix string            // what images are named: <prefix>/mcp-<server> and <prefix>/mcp-shim
	// Archives is a folder for archives that docker load and ctr images import read. Empty: images are pushed.
	Archives string
	// Load takes archives of images by name, one after the other, where they go to an engine instead.
	Load     func(ctx context.Context, name string, archive func(io.Writer) error) error
	Platform v1.Platform // what servers run on, such as linux/arm64
	Store    Store
	Logger   *slog.Logger
}

// Store installs packages. *packages.Store is one.
type Store interface {
	Program(ctx context.Context, server string, p deploy.Package) (string, error)
}

// Result is what Bake made.
type Result struct {
	Shim  string // the shim's image
	Lines []imagelock.Line
}

// Bake makes the images of the servers that need one, one after the other, and the shim's. Images that were made before an
// error are there, but no lock file names them.
func Bake(ctx context.Context, servers []catalog.Server, c Config) (made Result, err error) {
	b := baker{Config: c, bases: map[string]v1.Image{}}
	if b.scratch, err = os.MkdirTemp("", "bake"); err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	nothing, err := scratch(c.Platform)
	if err != nil {
		return made, err
	}
	if made.Shim, err = b.put(ctx, "shim", nothing, contents{shim: c.Shim}); err != nil {
		return made, fmt.Errorf("image of the shim: %w", err)
	}
	for _, s := range servers {
		p := deploy.PackageOf(s)
		if p == nil {
			continue
		}
		image, err := b.bakePackage(ctx, s.ID, *p)
		if err != nil {
			return made, fmt.Errorf("image of server %s: %w", s.ID, err)
		}
		made.Lines = append(made.Lines, imagelock.Line{Server: s.ID, Package: *p, Image: image})
	}
	return made, nil
}

// scratch is the base image that holds nothing.
func scratch(p v1.Platform) (v1.Image, error) {
	config, err := empty.Image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = p.OS, p.Architecture
	return mutate.ConfigFile(empty.Image, config)
}

type baker struct {
	Config
	scratch string
	bases   map[string]v1.Image
}

func (b *baker) bakePackage(ctx context.Context, server string, p deploy.Package) (string, error) {
	base, err := b.base(ctx, p.Registry)
	if err != nil {
		return "", err
	}
	program, err := b.Store.Program(ctx, server, p)
	if err != nil {
		return "", errors.Join(err, errors.Unwrap(err))
	}
	folder, relative, err := split(program)
	if err != nil {
		return "", err
	}
	return b.put(ctx, server, base, contents{shim: b.Shim, folder: folder, program: relative, keep: p.Registry == deploy.RegistryPyPI})
}

// split tells the folder that a package was installed into from the program in it: that is where the store's record is
// not, the topmost folder that holds nothing else.
func split(program string) (folder, relative string, err error) {
	for _, part := range []string{"/node_modules/.bin/", "/bin/"} {
		if i := strings.LastIndex(program, part); i > 0 {
			return program[:i], program[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("%s is not where npm and uv put programs", program)
}

// base returns the base image of a registry's packages.
func (b *baker) base(ctx context.Context, registry string) (v1.Image, error) {
	if image := b.bases[registry]; image != nil {
		return image, nil
	}
	from := b.Bases[registry]
	image, err := func() (v1.Image, error) {
		if strings.HasSuffix(from, ".tar") {
			return tarball.ImageFromPath(from, nil)
		}
		ref, err := name.ParseReference(from)
		if err != nil {
			return nil, err
		}
		b.Logger.Info("fetching base image", "image", from)
		return remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithPlatform(b.Platform))
	}()
	if err != nil {
		return nil, fmt.Errorf("base image of %s: %w", registry, err)
	}
	b.bases[registry] = image
	return image, nil
}

// put builds an image and puts it where it is to be. It returns the reference by which it runs.
func (b *baker) put(ctx context.Context, what string, base v1.Image, c contents) (string, error) {
	image, err := build(base, c, b.scratch)
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	repository := b.Prefix + "/mcp-" + what
	if b.Archives == "" && b.Load == nil {
		ref, err := name.NewDigest(repository + "@" + digest.String())
		if err != nil {
			return "", err
		}
		b.Logger.Info("pushing image", "image", ref.String())
		return ref.String(), remote.Write(ref, image, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	}
	// An archive has names and no digests: the name says which image it is.
	tag, err := name.NewTag(repository + ":" + digest.Hex[:12])
	if err != nil {
		return "", err
	}
	if b.Load != nil {
		b.Logger.Info("loading image", "image", tag.String())
		return tag.String(), b.Load(ctx, tag.String(), func(w io.Writer) error { return tarball.Write(tag, image, w) })
	}
	file := filepath.Join(b.Archives, "mcp-"+what+".tar")
	b.Logger.Info("writing image", "image", tag.String(), "file", file)
	return tag.String(), tarball.WriteToFile(file, tag, image)
}
