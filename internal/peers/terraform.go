package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Terraform builds Terraform from the Go module proxy, and returns its path. "go install" takes no module that replaces others by
// folders of its repository, which a module's archive has not: they are the backends that keep state in some cloud. None of them
// is used here, so the program is built without.
func (i Installer) Terraform(ctx context.Context) (string, error) {
	dir, err := once(filepath.Join(i.Dir, folder(Terraform)+"+static"), func(dir string) error {
		source := filepath.Join(dir, "source")
		if err := copyModule(ctx, dir, Terraform, source); err != nil {
			return err
		}
		absent, err := dropAbsent(ctx, source)
		if err != nil {
			return err
		}
		backends := filepath.Join(source, "internal", "backend", "init", "init.go")
		text, err := os.ReadFile(backends)
		if err != nil {
			return err
		}
		if err := os.WriteFile(backends, dropImports(text, absent), 0o600); err != nil {
			return err
		}
		if err := install(ctx, source, []string{"CGO_ENABLED=0", "GOFLAGS=-mod=mod"}, "go", "build", "-trimpath", "-ldflags",
			"-s -w -X github.com/hashicorp/terraform/version.dev=no", "-o", filepath.Join(dir, "terraform"), "."); err != nil {
			return err
		}
		return os.RemoveAll(source)
	})
	return filepath.Join(dir, "terraform"), err
}

// copyModule copies the source of a module, "path@version", to where it can be changed.
func copyModule(ctx context.Context, dir, module, to string) error {
	c := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	c.Dir = dir
	var refused bytes.Buffer
	c.Stderr = &refused
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("download %s: %w\n%s%s", module, err, out, &refused)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(out, &at); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(at.Dir))
}

// dropAbsent takes out of a module what it replaces by folders that it has not, and settings that newer versions of Go know no
// more. It returns the modules that are gone.
func dropAbsent(ctx context.Context, source string) (absent []string, err error) {
	c := exec.CommandContext(ctx, "go", "mod", "edit", "-json")
	c.Dir = source
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	var module struct {
		Replace []struct{ Old, New struct{ Path string } }
	}
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	edit := []string{"mod", "edit", "-dropgodebug=tlskyber"}
	for _, r := range module.Replace {
		if !strings.HasPrefix(r.New.Path, "./") {
			continue
		}
		if _, err := os.Stat(filepath.Join(source, r.New.Path)); err == nil {
			continue
		}
		absent = append(absent, r.Old.Path)
		edit = append(edit, "-droprequire="+r.Old.Path, "-dropreplace="+r.Old.Path)
	}
	return absent, install(ctx, source, nil, "go", edit...)
}

// named is an import that has a name in its file.
var named = regexp.MustCompile(`^\s+(\w+) "([^"]+)"$`)

// dropImports takes imports out of a file, and the lines that use them.
func dropImports(text []byte, paths []string) []byte {
	var names []string
	var kept [][]byte
	for line := range bytes.Lines(text) {
		if m := named.FindSubmatch(bytes.TrimRight(line, "\n")); m != nil && slices.Contains(paths, string(m[2])) {
			names = append(names, string(m[1]))
			continue
		}
		if !slices.ContainsFunc(names, func(n string) bool { return bytes.Contains(line, []byte(n+".")) }) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}
