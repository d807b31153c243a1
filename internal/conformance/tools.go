package main

import (
	"context"
	"os"
	"path/filepath"

	"mcpgateway/internal/peers"
)

// tools are the paths of programs that are not ours.
type tools struct {
	self    string // this program
	node    string
	suite   string // JavaScript file
	fixture string
	client  string // the fixture's
	// everything is the program of peers.EverythingServer. It runs on the Node.js in the PATH, as it does behind us.
	everything string
}

// installTools installs below cache what is not there yet.
func installTools(ctx context.Context, cache string) (tools, error) {
	var t tools
	i := peers.Installer{Dir: cache}
	dir, err := i.NPM(ctx, peers.Suite)
	if err != nil {
		return t, err
	}
	t.suite = filepath.Join(dir, "node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
	if t.fixture, err = i.Go(ctx, peers.FixtureServer); err != nil {
		return t, err
	}
	if t.client, err = i.Go(ctx, peers.FixtureClient); err != nil {
		return t, err
	}
	if dir, err = i.NPM(ctx, peers.EverythingServer); err != nil {
		return t, err
	}
	t.everything = filepath.Join(dir, "node_modules", ".bin", "mcp-server-everything")
	if t.self, err = os.Executable(); err != nil {
		return t, err
	}
	t.node, err = i.Node(ctx)
	return t, err
}
