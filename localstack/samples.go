package localstack

import (
	"bytes"
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mcpgateway/internal/atomicfile"
)

// sampleText is the sample catalog, whole.
//
//go:embed sample/catalog.yaml
var sampleText string

// needsNode begins each paragraph of the sample catalog that is of use only where Node.js is installed.
const needsNode = "# Needs Node.js"

// readme is in the folder that the sample "files" shows.
const readme = `This folder is what the server "files" of the sample catalog reads and writes.
Whoever may use that server may change everything in here, and nothing outside.
`

// makeSample makes the sample catalog: with the servers from npm and their folder, or without.
func makeSample(withNode bool, folder string) []byte {
	var kept []string
	for paragraph := range strings.SplitSeq(sampleText, "\n\n") {
		if withNode || !strings.HasPrefix(strings.TrimSpace(paragraph), needsNode) {
			kept = append(kept, paragraph)
		}
	}
	text := strings.TrimRight(strings.Join(kept, "\n\n"), "\n") + "\n"
	return []byte(strings.ReplaceAll(text, `"{folder}"`, quote(folder)))
}

// nodeInstalled reports whether packages from npm can be run.
func nodeInstalled() bool {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}

// writeSample writes the sample catalog where there is none. One that is there stays as it is: it may have been changed.
func (s *stack) writeSample() error {
	// Packages would need images first, and a container reads no folder of this machine.
	node, folder := !s.withoutNode && s.Deployer != DeployerDocker && nodeInstalled(), filepath.Join(s.State, "files")
	there, err := os.ReadFile(s.Catalog)
	if err == nil {
		s.hintNode(node, bytes.Equal(there, makeSample(false, folder)))
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.hintNode(node, !node)
	if node {
		if err := writeFolder(folder); err != nil {
			return err
		}
	}
	return atomicfile.Replace(s.Catalog, makeSample(node, folder))
}

// hintNode says what is to do for the samples from npm, where the catalog is the sample without them.
func (s *stack) hintNode(node, without bool) {
	switch {
	case s.Deployer == DeployerDocker:
	case without && node:
		s.hint = "Node.js is installed: remove " + s.Catalog + " to get two more samples."
	case without:
		s.hint = "Install Node.js to get two more samples, and remove " + s.Catalog + " then, so that it is written anew."
	}
}

// writeFolder makes the folder that the sample "files" shows, with something to read in it.
func writeFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	note := filepath.Join(path, "readme.txt")
	if _, err := os.Lstat(note); err == nil {
		return nil
	}
	return os.WriteFile(note, []byte(readme), 0o600)
}
