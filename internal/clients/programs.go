package main

import (
	"context"
	"embed"
	"os"
	"path/filepath"

	"mcpgateway/internal/peers"
)

// scripts are the few lines that the SDKs need around them, since they are libraries.
//
//go:embed scripts/*.mjs
var scripts embed.FS

// programs are the paths of what is not ours.
type programs struct {
	node               string
	inspector, mcpdo   string // JavaScript files, like all below but the Go programs
	remote             string
	sdk, client        string
	goClient, goServer string
}

// install installs below cache what is not there yet.
func install(ctx context.Context, cache string) (programs, error) {
	var p programs
	i := peers.Installer{Dir: cache}
	inspector, err := i.NPM(ctx, peers.Inspector)
	if err != nil {
		return p, err
	}
	inspector = filepath.Join(inspector, "node_modules", "@modelcontextprotocol", "inspector", "clients")
	p.inspector = filepath.Join(inspector, "launcher", "build", "index.js")
	p.mcpdo = filepath.Join(inspector, "mcpdo", "build", "mcp-bin.js")
	libraries, err := i.NPM(ctx, peers.SDK, peers.Client)
	if err != nil {
		return p, err
	}
	// A script finds its library by where it lies.
	if err := writeScripts(libraries); err != nil {
		return p, err
	}
	p.sdk, p.client = filepath.Join(libraries, "sdk.mjs"), filepath.Join(libraries, "client.mjs")
	remote, err := i.NPM(ctx, peers.Remote)
	if err != nil {
		return p, err
	}
	p.remote = filepath.Join(remote, "node_modules", "mcp-remote", "dist", "proxy.js")
	if p.goClient, err = i.Go(ctx, peers.FixtureClient); err != nil {
		return p, err
	}
	if p.goServer, err = i.Go(ctx, peers.FixtureServer); err != nil {
		return p, err
	}
	p.node, err = i.Node(ctx)
	return p, err
}

// path is the PATH under which everybody finds the right Node.js.
func (p programs) path() string {
	return filepath.Dir(p.node) + string(os.PathListSeparator) + os.Getenv("PATH")
}

func writeScripts(dir string) error {
	entries, err := scripts.ReadDir("scripts")
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := scripts.ReadFile("scripts/" + e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
