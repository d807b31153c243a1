package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// The pins. A newer suite may ask for more: the figures of profiles belong to these.
const (
	suitePackage   = "@modelcontextprotocol/conformance"
	suiteVersion   = "0.2.0-alpha.12"
	nodeMajor      = 22 // the least that the suite runs on
	fixtureModule  = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"
	fixtureVersion = "v1.8.0"
)

// tools are the paths of programs that are not ours.
type tools struct {
	node    string
	suite   string // JavaScript file
	fixture string
}

// installTools installs below cache what is not there yet.
func installTools(ctx context.Context, cache string) (tools, error) {
	var t tools
	dir, err := once(filepath.Join(cache, "suite-"+suiteVersion), func(dir string) error {
		return npmInstall(ctx, dir, suitePackage+"@"+suiteVersion)
	})
	if err != nil {
		return t, err
	}
	t.suite = filepath.Join(dir, "node_modules", filepath.FromSlash(suitePackage), "dist", "index.js")
	dir, err = once(filepath.Join(cache, "everything-server-"+fixtureVersion), func(dir string) error {
		return install(ctx, dir, []string{"GOBIN=" + dir}, "go", "install", fixtureModule+"@"+fixtureVersion)
	})
	if err != nil {
		return t, err
	}
	t.fixture = filepath.Join(dir, "everything-server")
	t.node, err = findNode(ctx, cache)
	return t, err
}

// findNode is the Node.js of this machine if it is new enough, and else one from the registry.
func findNode(ctx context.Context, cache string) (string, error) {
	if path, err := exec.LookPath("node"); err == nil {
		version, err := exec.CommandContext(ctx, path, "--version").Output()
		if err == nil && newEnough(string(version)) {
			return path, nil
		}
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	pkg := fmt.Sprintf("node-%s-%s", runtime.GOOS, arch)
	dir, err := once(filepath.Join(cache, fmt.Sprintf("node-%d", nodeMajor)), func(dir string) error {
		return npmInstall(ctx, dir, fmt.Sprintf("%s@%d", pkg, nodeMajor))
	})
	return filepath.Join(dir, "node_modules", pkg, "bin", "node"), err
}

// newEnough reads what "node --version" prints.
func newEnough(version string) bool {
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(version), "v"), ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= nodeMajor
}

// once fills a folder unless it exists. It appears only when it is complete.
func once(dir string, fill func(dir string) error) (string, error) {
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return "", err
	}
	fmt.Println("installing", filepath.Base(dir))
	if err := fill(partial); err != nil {
		return "", fmt.Errorf("install %s: %w", filepath.Base(dir), err)
	}
	return dir, os.Rename(partial, dir)
}

// npmInstall installs packages into dir. Their install scripts do not run: none that is used here has one.
func npmInstall(ctx context.Context, dir string, packages ...string) error {
	args := []string{"install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"}
	return install(ctx, dir, nil, "npm", append(args, packages...)...)
}

// install runs an installer in dir, outside of any project of the caller's.
func install(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
