package peers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
)

// The least Node.js that every peer runs on.
const (
	nodeMajor = 22
	nodeMinor = 19
)

// Node is the Node.js of this machine if it is new enough, and else one from the registry.
func (i Installer) Node(ctx context.Context) (string, error) {
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
	dir, err := i.NPM(ctx, fmt.Sprintf("%s@%d", pkg, nodeMajor))
	return filepath.Join(dir, "node_modules", pkg, "bin", "node"), err
}

// newEnough reads what "node --version" prints.
func newEnough(version string) bool {
	var major, minor int
	n, err := fmt.Sscanf(version, "v%d.%d", &major, &minor)
	return err == nil && n == 2 && (major > nodeMajor || major == nodeMajor && minor >= nodeMinor)
}
