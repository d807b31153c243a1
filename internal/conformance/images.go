package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/imagelock"
	"mcpgateway/internal/peers"
)

// elsewhere is where servers run from images: a cluster, or an engine.
type elsewhere interface {
	// prepare makes the images and puts them there.
	prepare(ctx context.Context, t tools, bin string) error
	// platform is what a platform file says of it. The deployer's socket may be in dir, whose path is short.
	platform(dir string) string
	// keys is the folder of credentials, "" where there are none.
	keys() string
	// serve serves where servers find it.
	serve(h http.Handler) (*httptest.Server, error)
	close() error
}

// The images that servers run which are no processes. The fixture is also baked like a package, since that is how stdio
// servers run there; no registry is asked for it.
const (
	fixtureImage   = "dev.local/mcp-conformance:1"
	fixturePackage = "everything-server@1.8.0"
)

// lockName is the file that names baked images, beside their archives.
const lockName = "catalog.lock"

// bakeServers makes archives of the shim's image and the packages' in dir, where node.tar is what Node.js servers run on.
func bakeServers(ctx context.Context, t tools, bin, dir, prefix string) (bake.Result, error) {
	program := filepath.Join(dir, "fixture", "bin", filepath.Base(t.fixture))
	if err := copyProgram(program, t.fixture); err != nil {
		return bake.Result{}, err
	}
	servers := []catalog.Server{
		{ID: "fixture", Runtime: catalog.Runtime{NPX: &catalog.Package{Package: fixturePackage}}},
		{ID: "everything", Runtime: catalog.Runtime{NPX: &catalog.Package{Package: peers.EverythingServer}}},
	}
	made, err := bake.Bake(ctx, servers, bake.Config{Shim: filepath.Join(bin, "shim"), Prefix: prefix, Archives: dir,
		Bases: map[string]string{deploy.RegistryNPM: filepath.Join(dir, "node.tar")}, Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Store: installed{fixturePackage: program, peers.EverythingServer: t.everything}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return bake.Result{}, err
	}
	return made, imagelock.Write(filepath.Join(dir, lockName), made.Lines)
}

// installed are packages that are there, by their names.
type installed map[string]string

// Program implements bake.Store.
func (i installed) Program(_ context.Context, _ string, p deploy.Package) (string, error) {
	if i[p.Name] == "" {
		return "", fmt.Errorf("%s is not installed", p.Name)
	}
	return i[p.Name], nil
}

func copyProgram(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
