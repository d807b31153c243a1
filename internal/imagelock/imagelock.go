// Package imagelock reads and writes the lock file: which image holds the package of a server. What bake made is what
// runs, on every machine and after every wake, until the file is changed; an older version of the file is the way back.
package imagelock

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
)

// Line is one server's.
type Line struct {
	Server  string
	Package deploy.Package
	Image   string // a reference, with a digest wherever there is a registry
}

// maxBytes bounds a lock file.
const maxBytes = 4 << 20

const head = "# Made by mcpgateway bake: server, registry, package, image. Keep it with the catalog.\n"

// Read reads a lock file. A file that does not exist is an empty one.
func Read(path string) ([]Line, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lock file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(text) > maxBytes {
		err = fmt.Errorf("larger than %d bytes", maxBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("read lock file %s: %w", path, err)
	}
	lines, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return lines, nil
}

// Parse reads a lock file's text. Errors begin with the line's number.
func Parse(text []byte) (lines []Line, err error) {
	seen := map[string]bool{}
	number := 0
	for text := range bytes.Lines(text) {
		number++
		words := strings.Fields(string(text))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) != 4 {
			return nil, fmt.Errorf("%d: a line has four words: server, registry, package, image", number)
		}
		if registry := words[1]; registry != deploy.RegistryNPM && registry != deploy.RegistryPyPI {
			return nil, fmt.Errorf("%d: no registry is called %.40q", number, registry)
		}
		if seen[words[0]] {
			return nil, fmt.Errorf("%d: server %.63q has a line already", number, words[0])
		}
		seen[words[0]] = true
		lines = append(lines, Line{Server: words[0], Package: deploy.Package{Registry: words[1], Name: words[2]}, Image: words[3]})
	}
	return lines, nil
}

// Format is the text that Parse reads, in the order of servers.
func Format(lines []Line) []byte {
	lines = slices.Clone(lines)
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.Server, b.Server) })
	out := bytes.NewBufferString(head)
	for _, l := range lines {
		fmt.Fprintln(out, l.Server, l.Package.Registry, l.Package.Name, l.Image)
	}
	return out.Bytes()
}

// Write replaces a lock file at once.
func Write(path string, lines []Line) error {
	if err := atomicfile.Replace(path, Format(lines)); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// Images are the images by what they hold.
func Images(lines []Line) map[deploy.Package]string {
	images := map[deploy.Package]string{}
	for _, l := range lines {
		images[l.Package] = l.Image
	}
	return images
}
