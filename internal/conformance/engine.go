package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"mcpgateway/internal/proxytest"
)

// engine is a Docker Engine of this machine, which DOCKER_HOST names.
type engine struct {
	dir     string // archives, their lock file, node.tar
	network string // one whose gateway is an address of this machine that containers reach
	address string
}

func (e *engine) prepare(ctx context.Context, t tools, bin string) (err error) {
	e.network = "conformance-" + strconv.Itoa(os.Getpid())
	if e.dir, err = os.MkdirTemp("", "images"); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "knative/testcluster/node-base.sh", filepath.Join(e.dir, "node.tar")).CombinedOutput(); err != nil {
		return fmt.Errorf("base image: %w\n%s", err, out)
	}
	if _, err := bakeServers(ctx, t, bin, e.dir, "mcpgateway.local"); err != nil {
		return err
	}
	for _, name := range []string{"mcp-fixture.tar", "mcp-everything.tar"} {
		if _, err := proxytest.Docker(ctx, nil, "load", "--input", filepath.Join(e.dir, name)); err != nil {
			return err
		}
	}
	if err := proxytest.ImportImage(ctx, fixtureImage, t.fixture); err != nil {
		return err
	}
	if _, err := proxytest.Docker(ctx, nil, "network", "create", e.network); err != nil {
		return err
	}
	e.address, err = proxytest.Docker(ctx, nil, "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Gateway}}{{end}}", e.network)
	return err
}

func (e *engine) platform(string) string {
	return fmt.Sprintf("deployer: {docker: {lock: %q}}\n", filepath.Join(e.dir, lockName))
}

func (e *engine) keys() string { return "" }

// serve serves where containers find it.
func (e *engine) serve(h http.Handler) (*httptest.Server, error) { return serveAt(e.address, h) }

func (e *engine) close() error {
	var err error
	if e.address != "" {
		_, err = proxytest.Docker(context.Background(), nil, "network", "rm", e.network)
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}
