package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mcpgateway/internal/bake"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/imagelock"
	"mcpgateway/internal/peers"
)

// What the test cluster is (knative/testcluster), seen from the root of the repository and from pods.
const (
	putImage = "knative/testcluster/image.sh"
	nodeIP   = "10.250.0.1"
	ingress  = "http://127.0.0.1:18000"
	domain   = "example.test"
)

// The images that servers run. The fixture is also baked like a package, since that is how a cluster runs stdio servers; no
// registry is asked for it.
const (
	fixtureImage   = "dev.local/mcp-conformance:1"
	fixturePackage = "everything-server@1.8.0"
)

// cluster is one that knative/conformance.sh prepared. A nil one is this machine.
type cluster struct {
	dir  string // gateway.kubeconfig, deployer.kubeconfig, name.key, rules.key, node.tar (a base image); catalog.lock is made
	shim string // its image
}

// prepare makes the images and puts them into the cluster.
func (c *cluster) prepare(ctx context.Context, t tools, bin string) (err error) {
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	program := filepath.Join(c.dir, "fixture", "bin", filepath.Base(t.fixture))
	if err := copyProgram(program, t.fixture); err != nil {
		return err
	}
	servers := []catalog.Server{
		{ID: "fixture", Runtime: catalog.Runtime{NPX: &catalog.Package{Package: fixturePackage}}},
		{ID: "everything", Runtime: catalog.Runtime{NPX: &catalog.Package{Package: peers.EverythingServer}}},
	}
	made, err := bake.Bake(ctx, servers, bake.Config{Shim: filepath.Join(bin, "shim"), Prefix: "dev.local", Archives: c.dir,
		Bases: map[string]string{deploy.RegistryNPM: filepath.Join(c.dir, "node.tar")}, Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Store: installed{fixturePackage: program, peers.EverythingServer: t.everything}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	c.shim = made.Shim
	if err := imagelock.Write(filepath.Join(c.dir, "catalog.lock"), made.Lines); err != nil {
		return err
	}
	for _, args := range [][]string{{filepath.Join(c.dir, "mcp-shim.tar")}, {filepath.Join(c.dir, "mcp-fixture.tar")},
		{filepath.Join(c.dir, "mcp-everything.tar")}, {fixtureImage, t.fixture}} {
		if out, err := exec.CommandContext(ctx, putImage, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %v: %w\n%s", putImage, args, err, out)
		}
	}
	return nil
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

// platform is what a platform file says of the cluster. The socket is in dir, whose path is short.
func (c *cluster) platform(dir string) string {
	return fmt.Sprintf(`deployer:
  state: %q
  socket: %q
  knative:
    nameKey: %q
    lock: %q
    images: {shim: %q}
    ingress: {url: %q, domain: %s, insecurePlainIngress: true}
`, c.dir, filepath.Join(dir, "deployer.sock"), filepath.Join(c.dir, "name.key"), filepath.Join(c.dir, "catalog.lock"), c.shim, ingress, domain)
}

// serve serves where servers' pods, or processes, find it.
func (c *cluster) serve(h http.Handler) (*httptest.Server, error) {
	if c == nil {
		return httptest.NewServer(h), nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(nodeIP, "0"))
	if err != nil {
		return nil, err
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	return s, nil
}
