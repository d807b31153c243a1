package packages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/deploy"
)

// record says where a package is. It is written when the install is complete, and its time is that of the last use.
type record struct {
	Package deploy.Package `json:"package"`
	Folder  string         `json:"folder"`  // beside the record
	Program string         `json:"program"` // path in the folder
}

const (
	recordSuffix = ".json"
	lockSuffix   = ".lock"
	maxRecord    = 16 << 10 // bytes
)

// Unused packages are kept for a while: somebody may be about to start one, or take a change of the catalog back.
const (
	retention = 24 * time.Hour
	freshness = time.Hour // how exactly the time of the last use is known
)

var unreadable = regexp.MustCompile(`[^A-Za-z0-9@._-]+`)

// baseName is what the files of a package begin with: what a person recognizes, and a hash that tells all apart.
func baseName(p deploy.Package) string {
	sum := sha256.Sum256([]byte(p.Registry + " " + p.Name))
	return p.Registry + "-" + clip(unreadable.ReplaceAllString(p.Name, "_"), 60) + "-" + hex.EncodeToString(sum[:6])
}

// hiddenName is what the folders of a package begin with.
func hiddenName(p deploy.Package) string { return "." + baseName(p) + "~" }

func (s *Store) path(name string) string { return filepath.Join(s.config.Folder, name) }

// Installed returns the path of a package's program if it is installed. It installs nothing.
func (s *Store) Installed(p deploy.Package) (string, bool) {
	path := s.path(baseName(p) + recordSuffix)
	r, changed, err := readRecord(path)
	if err != nil || r.Package != p {
		return "", false
	}
	program := filepath.Join(s.path(r.Folder), r.Program)
	if info, err := os.Stat(program); err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	if now := time.Now(); now.Sub(changed) > freshness {
		_ = os.Chtimes(path, now, now) // at worst it is removed early, and installed again
	}
	return program, true
}

func readRecord(path string) (record, time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return record{}, time.Time{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return record{}, time.Time{}, err
	}
	r, err := parseRecord(text)
	return r, info.ModTime(), err
}

// parseRecord takes only what leads to a file below the package's own folder: a script of a package can write here.
func parseRecord(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	if filepath.Base(r.Folder) != r.Folder || !strings.HasPrefix(r.Folder, hiddenName(r.Package)) || !filepath.IsLocal(r.Program) {
		return record{}, errors.New("not a record")
	}
	return r, nil
}

// publish has the record replace an earlier one.
func (s *Store) publish(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.Replace(s.path(baseName(r.Package)+recordSuffix), text)
}

// Prune removes the packages that are not among those to keep and were not used for a day, and what installs that did
// not end left behind. Servers that run must be among those to keep.
func (s *Store) Prune(keep []deploy.Package) error {
	entries, err := os.ReadDir(s.config.Folder)
	if err != nil {
		return fmt.Errorf("prune packages: %w", err)
	}
	var names []string
	for _, p := range keep {
		names = append(names, baseName(p))
	}
	s.forget(keep)
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), recordSuffix); ok && e.Type().IsRegular() && !slices.Contains(names, base) {
			s.removeUnused(base)
		}
		if base, _, ok := strings.Cut(strings.TrimPrefix(e.Name(), "."), "~"); ok && e.IsDir() {
			s.removeLeft(base, e.Name())
		}
	}
	return nil
}

// forget drops the failures of packages that nobody names any more.
func (s *Store) forget(keep []deploy.Package) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.failures {
		if !slices.Contains(keep, p) {
			delete(s.failures, p)
		}
	}
}

func (s *Store) removeUnused(base string) {
	lock, err := s.tryLock(base)
	if lock == nil || err != nil {
		return // it is being installed
	}
	defer lock.Close()
	path := s.path(base + recordSuffix)
	r, used, err := readRecord(path)
	if err == nil && time.Since(used) < retention {
		return
	}
	os.Remove(path) // first: nobody starts what is half removed
	if err != nil {
		return // its folder is now one that no record names
	}
	os.RemoveAll(s.path(r.Folder))
	s.config.Logger.Info("package removed, since nobody needs it", "package", r.Package.Name)
}

// removeLeft removes a folder that no record names, unless it is being filled.
func (s *Store) removeLeft(base, folder string) {
	if r, _, err := readRecord(s.path(base + recordSuffix)); err == nil && r.Folder == folder {
		return
	}
	lock, err := s.tryLock(base)
	if lock == nil || err != nil {
		return
	}
	defer lock.Close()
	if r, _, err := readRecord(s.path(base + recordSuffix)); err == nil && r.Folder == folder {
		return // completed meanwhile
	}
	os.RemoveAll(s.path(folder))
}
