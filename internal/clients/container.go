package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"mcpgateway/internal/proxytest"
)

// sampleImage is the sample server's.
const sampleImage = "mcpgateway.local/sample:clients"

// inContainers returns the servers that have images: the sample, and what npm has.
func inContainers(list []server) []server {
	list = slices.DeleteFunc(list, func(s server) bool { return s.id != "sample" && s.id != "everything" })
	for n := range list {
		if list[n].id == "sample" {
			list[n].runtime = fmt.Sprintf(`{container: {image: %q, port: 8090, args: [-addr, "127.0.0.1:8090"]}}`, sampleImage)
		}
	}
	return list
}

// putImages puts them into the engine. What npm's servers run on is made of this machine's Node.js, since no registry is asked.
func putImages(ctx context.Context, system *proxytest.System, bin, dir string) error {
	if err := proxytest.ImportImage(ctx, sampleImage, filepath.Join(bin, "sample-server")); err != nil {
		return err
	}
	base := filepath.Join(dir, "node.tar")
	if out, err := exec.CommandContext(ctx, "knative/testcluster/node-base.sh", base).CombinedOutput(); err != nil {
		return fmt.Errorf("base image: %w\n%s", err, out)
	}
	return system.Bake(ctx, base)
}
