package documents

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sight is what the files look like from outside.
type sight []glance

// glance is one file. Links are followed: a mounted ConfigMap changes by another target of a link.
type glance struct {
	path string
	info os.FileInfo // nil where there is none
	err  string
}

// maxGlances bounds what is looked at: more files than any catalog may have.
const maxGlances = 20_000

// see looks at the platform file and at the catalog's, without opening them.
func (k *Keeper) see() sight {
	s := sight{glanceAt(k.path)}
	if k.catalog == "" {
		return s
	}
	at := glanceAt(k.catalog)
	s = append(s, at)
	if at.info == nil || !at.info.IsDir() {
		return s
	}
	entries, err := os.ReadDir(k.catalog) // sorted
	if err != nil {
		return append(s, glance{path: k.catalog, err: err.Error()})
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && len(s) < maxGlances {
			s = append(s, glanceAt(filepath.Join(k.catalog, e.Name())))
		}
	}
	return s
}

func glanceAt(path string) glance {
	info, err := os.Stat(path)
	if err != nil {
		return glance{path: path, err: err.Error()}
	}
	return glance{path: path, info: info}
}

func (s sight) equal(other sight) bool {
	return slices.EqualFunc(s, other, func(a, b glance) bool {
		if a.info == nil || b.info == nil {
			return a == b
		}
		return a.path == b.path && os.SameFile(a.info, b.info) && a.info.Size() == b.info.Size() &&
			a.info.Mode() == b.info.Mode() && a.info.ModTime().Equal(b.info.ModTime())
	})
}

// grain is longer than the coarsest unit in which a file system counts time: two writes within it can look alike.
const grain = 3 * time.Second

// young reports whether another write could go unseen.
func (s sight) young(now time.Time) bool {
	return slices.ContainsFunc(s, func(g glance) bool {
		return g.info != nil && !g.info.IsDir() && now.Sub(g.info.ModTime()).Abs() < grain
	})
}

// digest stands for the content of all files. The zero digest is that of nothing that can be read.
type digest [sha256.Size]byte

// maxRead bounds what is read of a file: a larger one is refused, whatever more is in it.
const maxRead = 5 << 20

// read reads the files that can be seen now.
func (k *Keeper) read() digest {
	h := sha256.New()
	for _, g := range k.see() {
		g.writeTo(h)
	}
	return digest(h.Sum(nil))
}

// writeTo writes path and content, each with its length so that no two sets of files read alike.
func (g glance) writeTo(h hash.Hash) {
	fmt.Fprintf(h, "%q %q ", g.path, g.err)
	if g.info == nil || !g.info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return
	}
	f, err := os.Open(g.path)
	if err != nil {
		fmt.Fprintf(h, "%q ", err.Error())
		return
	}
	defer f.Close()
	n, err := io.Copy(h, io.LimitReader(f, maxRead))
	fmt.Fprintf(h, " %d %v\n", n, err)
}
