// Package structure holds the rules that the compiler does not: which package may import which, one comment a package,
// sizes that can be read in one sight, and the names at the root of the repository.
//
// It only looks, and only its own tests call it. Formatting and bugs are the linter's business.
package structure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Module is the path of this module in import paths.
const Module = "mcpgateway"

// Package is what "go list" tells of one package of this module. Test files do not count.
type Package struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string // what its files import
	Deps       []string // all that is linked with it, itself not among them
}

// ListPackages lists the packages of the module in dir, in the order of their import paths.
func ListPackages(dir string) ([]Package, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	var packages []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// below says whether path is tree or lies below it.
func below(path, tree string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func belowAny(path string, trees []string) bool {
	for _, tree := range trees {
		if below(path, tree) {
			return true
		}
	}
	return false
}
