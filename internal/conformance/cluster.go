package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
)

// What the test cluster is (knative/testcluster), seen from the root of the repository and from pods.
const (
	putImage = "knative/testcluster/image.sh"
	nodeIP   = "10.250.0.1"
	ingress  = "http://127.0.0.1:18000"
	domain   = "example.test"
)

// cluster is one that knative/conformance.sh prepared.
type cluster struct {
	dir  string // gateway.kubeconfig, deployer.kubeconfig, name.key, rules.key, node.tar (a base image); catalog.lock is made
	shim string // its image
}

// prepare makes the images and puts them into the cluster.
func (c *cluster) prepare(ctx context.Context, t tools, bin string) (err error) {
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	made, err := bakeServers(ctx, t, bin, c.dir, "dev.local")
	if err != nil {
		return err
	}
	c.shim = made.Shim
	for _, args := range [][]string{{filepath.Join(c.dir, "mcp-shim.tar")}, {filepath.Join(c.dir, "mcp-fixture.tar")},
		{filepath.Join(c.dir, "mcp-everything.tar")}, {fixtureImage, t.fixture}} {
		if out, err := exec.CommandContext(ctx, putImage, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %v: %w\n%s", putImage, args, err, out)
		}
	}
	return nil
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
`, c.dir, filepath.Join(dir, "deployer.sock"), filepath.Join(c.dir, "name.key"), filepath.Join(c.dir, lockName), c.shim, ingress, domain)
}

func (c *cluster) keys() string { return c.dir }

// close removes nothing: knative/conformance.sh does.
func (c *cluster) close() error { return nil }

// serve serves where servers' pods find it.
func (c *cluster) serve(h http.Handler) (*httptest.Server, error) { return serveAt(nodeIP, h) }

// serveAt serves at an address of this machine.
func serveAt(address string, h http.Handler) (*httptest.Server, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	return s, nil
}
