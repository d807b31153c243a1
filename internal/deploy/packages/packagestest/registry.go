// Package packagestest is a registry for the real npm, on this machine and with packages that a test makes, so that
// tests need no network. It is for tests only.
package packagestest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Registry serves packages to npm.
type Registry struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	versions map[string]map[string]any // what is known of each version, by package and version
	archives map[string][]byte         // by path
	asked    []string                  // paths
	broken   map[string]bool           // packages whose document cannot be had
	held     chan struct{}             // while it is open nobody is answered
}

// NewRegistry starts one, and has the npm of this test use it, with a cache and settings of its own. The test is
// skipped where there is no npm.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	for _, program := range []string{"npm", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on this machine: %v", program, err)
		}
	}
	r := &Registry{t: t, versions: map[string]map[string]any{}, archives: map[string][]byte{}, broken: map[string]bool{}, held: make(chan struct{})}
	close(r.held)
	r.server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.server.CloseClientConnections()
		r.server.Close()
	})
	home, err := os.MkdirTemp("", "home") // not the test's own folder: npm may be killed while it writes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	t.Setenv("HOME", home)
	t.Setenv("npm_config_registry", r.server.URL)
	return r
}

// Publish adds a version of a package that holds the given files, package.json among them or else one of no more than
// name and version.
func (r *Registry) Publish(name, version string, files map[string]string) {
	r.t.Helper()
	manifest := map[string]any{"name": name, "version": version}
	if text, ok := files["package.json"]; ok {
		if err := json.Unmarshal([]byte(text), &manifest); err != nil {
			r.t.Fatal(err)
		}
	}
	archive := r.pack(manifest, files)
	path := "/archives/" + name + "/" + version + ".tgz"
	sum := sha512.Sum512(archive)
	manifest["dist"] = map[string]string{"tarball": r.server.URL + path, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.archives[path] = archive
	if r.versions[name] == nil {
		r.versions[name] = map[string]any{}
	}
	r.versions[name][version] = manifest
}

func (r *Registry) pack(manifest map[string]any, files map[string]string) []byte {
	r.t.Helper()
	all := map[string]string{}
	for name, text := range files {
		all[name] = text
	}
	if all["package.json"] == "" {
		text, _ := json.Marshal(manifest) // text only: cannot fail
		all["package.json"] = string(text)
	}
	var buffer bytes.Buffer
	zip := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zip)
	for name, text := range all {
		if err := archive.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			r.t.Fatal(err)
		}
	}
	archive.Close()
	zip.Close()
	return buffer.Bytes()
}

// ServeHTTP implements http.Handler as a registry does: a document for each package, and archives.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, q.URL.Path)
	held := r.held
	r.mu.Unlock()
	select {
	case <-held:
	case <-q.Context().Done():
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if archive, ok := r.archives[q.URL.Path]; ok {
		_, _ = w.Write(archive)
		return
	}
	name := strings.TrimPrefix(q.URL.Path, "/")
	versions, ok := r.versions[name]
	w.Header().Set("Content-Type", "application/json")
	if r.broken[name] {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":"Not found"}`)
		return
	}
	latest := ""
	for version := range versions {
		latest = max(latest, version)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "versions": versions, "dist-tags": map[string]string{"latest": latest}})
}

// Break has the registry fail whenever it is asked for a package's document.
func (r *Registry) Break(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[name] = true
}

// Asked counts the requests for a package's document.
func (r *Registry) Asked(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, path := range r.asked {
		if path == "/"+name {
			n++
		}
	}
	return n
}

// Hold has the registry answer nobody until release is called, at the latest when the test ends.
func (r *Registry) Hold() (release func()) {
	held := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = held
	release = sync.OnceFunc(func() { close(held) })
	r.t.Cleanup(release)
	return release
}
