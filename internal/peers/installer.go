// Package peers installs the programs that nobody here wrote and that ours are tried with: the conformance suite, MCP
// clients, reference servers. Versions are pinned; Node.js comes along where the machine's is too old.
//
// It only installs. How a peer is run is the business of the program that runs it.
package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Installer installs into a folder, each thing once.
type Installer struct {
	Dir string // absolute
}

// NPM installs packages of the npm registry side by side and returns the folder that holds their node_modules.
// Their install scripts do not run: none that is used here needs one.
func (i Installer) NPM(ctx context.Context, packages ...string) (string, error) {
	return once(filepath.Join(i.Dir, folder(packages...)), func(dir string) error {
		args := []string{"install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"}
		return install(ctx, dir, nil, "npm", append(args, packages...)...)
	})
}

// Archive unpacks one package of the npm registry, without what it depends on, and returns the folder of what is in it.
func (i Installer) Archive(ctx context.Context, pkg string) (string, error) {
	dir, err := once(filepath.Join(i.Dir, folder(pkg)+"+alone"), func(dir string) error {
		if err := install(ctx, dir, nil, "npm", "pack", "--loglevel=error", pkg); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("npm pack left %d archives", len(archives))
		}
		if err := install(ctx, dir, nil, "tar", "-xzf", archives[0]); err != nil {
			return err
		}
		return os.Remove(archives[0])
	})
	return filepath.Join(dir, "package"), err
}

// Go installs a program of the Go module proxy, "import/path@version", and returns its path. It is static, so that it also
// runs in an image that holds nothing else.
func (i Installer) Go(ctx context.Context, program string) (string, error) {
	name, _, _ := strings.Cut(path.Base(program), "@")
	dir, err := once(filepath.Join(i.Dir, folder(program)+"+static"), func(dir string) error {
		return install(ctx, dir, []string{"GOBIN=" + dir, "CGO_ENABLED=0"}, "go", "install", program)
	})
	return filepath.Join(dir, name), err
}

// folder is the name of a folder for packages: the last elements of their paths.
func folder(packages ...string) string {
	var names []string
	for _, p := range packages {
		names = append(names, path.Base(p))
	}
	return strings.Join(names, "+")
}

// once fills a folder unless it exists. It appears only when it is complete. Of several processes one fills it, and the others
// wait.
func once(dir string, fill func(dir string) error) (string, error) {
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("wait for another installer: %w", err)
	}
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

// install runs an installer in dir, outside of any project of the caller's.
func install(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
