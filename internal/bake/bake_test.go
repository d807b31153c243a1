package bake

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

// shelf is a store of packages that somebody installed.
type shelf map[string]string

func (s shelf) Program(_ context.Context, _ string, p deploy.Package) (string, error) {
	if program := s[p.Name]; program != "" {
		return program, nil
	}
	return "", &deploy.StartError{Message: "It does not start.", Cause: errors.New("npm says E404")}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// installed has what npm and uv leave: files, programs, links.
func installed(t *testing.T) shelf {
	t.Helper()
	npm, uv := t.TempDir(), t.TempDir()
	write(t, filepath.Join(npm, "node_modules/a/cli.js"), "#!/usr/bin/env node", 0o755)
	write(t, filepath.Join(npm, "node_modules/a/data.json"), "{}", 0o600)
	if err := os.MkdirAll(filepath.Join(npm, "node_modules/.bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../a/cli.js", filepath.Join(npm, "node_modules/.bin/a")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(uv, "bin/b"), "#!"+filepath.Join(uv, "venv/bin/python"), 0o755)
	return shelf{"a@1.0.0": filepath.Join(npm, "node_modules/.bin/a"), "b==1": filepath.Join(uv, "bin/b")}
}

var (
	npx        = catalog.Server{ID: "first", Runtime: catalog.Runtime{NPX: &catalog.Package{Package: "a@1.0.0"}}}
	uvx        = catalog.Server{ID: "second", Runtime: catalog.Runtime{UVX: &catalog.Package{Package: "b==1"}}}
	remoteOnly = catalog.Server{ID: "third", Runtime: catalog.Runtime{Remote: &catalog.Remote{URL: "https://example.com/mcp"}}}
)

// config bakes onto a base image that holds one file.
func config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	base, err := scratch(v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeTar(filepath.Join(dir, "layer"), func(w *tar.Writer) error {
		return writeFile(w, "usr/bin/node", write(t, filepath.Join(dir, "node"), "node", 0o755), 0o755)
	}); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(filepath.Join(dir, "layer"))
	if err != nil {
		t.Fatal(err)
	}
	if base, err = mutate.AppendLayers(base, layer); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "base.tar")
	if err := tarball.WriteToFile(archive, name.MustParseReference("dev.local/base:1"), base); err != nil {
		t.Fatal(err)
	}
	return Config{Shim: write(t, filepath.Join(dir, "shim"), "shim", 0o755), Prefix: "dev.local", Archives: t.TempDir(),
		Bases:    map[string]string{deploy.RegistryNPM: archive, deploy.RegistryPyPI: archive},
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Store: installed(t), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// files are what an image holds: modes and contents, or where a link leads.
func files(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	found := map[string]string{}
	flat := mutate.Extract(image)
	defer flat.Close()
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s has an owner or a time of this machine: %+v", h.Name, h)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			found[h.Name] = h.FileInfo().Mode().String() + " " + string(text)
		case tar.TypeSymlink:
			found[h.Name] = "-> " + h.Linkname
		}
	}
}

func TestBake(t *testing.T) {
	c := config(t)
	made, err := Bake(t.Context(), []catalog.Server{npx, remoteOnly, uvx}, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Lines) != 2 || made.Lines[0].Server != "first" || made.Lines[1].Package != (deploy.Package{Registry: "pypi", Name: "b==1"}) {
		t.Errorf("the lines are %+v", made.Lines)
	}
	store := c.Store.(shelf)
	uv := strings.TrimPrefix(filepath.Dir(filepath.Dir(store["b==1"])), "/")
	for what, want := range map[string]map[string]string{
		"shim": {"mcp/shim": "-rwxr-xr-x shim"},
		"first": {"mcp/shim": "-rwxr-xr-x shim", "usr/bin/node": "-rwxr-xr-x node", "mcp/program": "-> /mcp/package/node_modules/.bin/a",
			"mcp/package/node_modules/.bin/a": "-> ../a/cli.js", "mcp/package/node_modules/a/cli.js": "-rwxr-xr-x #!/usr/bin/env node",
			"mcp/package/node_modules/a/data.json": "-rw-r--r-- {}"},
		"second": {"mcp/shim": "-rwxr-xr-x shim", "usr/bin/node": "-rwxr-xr-x node", "mcp/program": "-> /" + uv + "/bin/b",
			uv + "/bin/b": "-rwxr-xr-x #!/" + uv + "/venv/bin/python"},
	} {
		image, err := tarball.ImageFromPath(filepath.Join(c.Archives, "mcp-"+what+".tar"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, image)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		file, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if file.Config.User != "65532:65532" || len(file.Config.Entrypoint) != 1 || file.Config.Entrypoint[0] != "/mcp/shim" || file.OS != "linux" || file.Architecture != "amd64" {
			t.Errorf("%s runs as %q, %v, on %s/%s", what, file.Config.User, file.Config.Entrypoint, file.OS, file.Architecture)
		}
	}
}

// The same files are the same image; other files are another.
func TestBakeIsReproducible(t *testing.T) {
	c := config(t)
	bake := func() string {
		t.Helper()
		made, err := Bake(t.Context(), []catalog.Server{npx}, c)
		if err != nil {
			t.Fatal(err)
		}
		return made.Shim + " " + made.Lines[0].Image
	}
	first := bake()
	if again := bake(); again != first {
		t.Errorf("%s, and then %s", first, again)
	}
	write(t, c.Shim, "another", 0o755)
	if other := bake(); other == first {
		t.Error("another shim, and the same images")
	}
}

// Where there is a registry, the lock file names what was pushed by its digest.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	c := config(t)
	c.Archives, c.Prefix = "", strings.TrimPrefix(server.URL, "http://")+"/team"
	made, err := Bake(t.Context(), []catalog.Server{npx}, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{made.Shim, made.Lines[0].Image} {
		if !strings.Contains(ref, "@sha256:") {
			t.Errorf("%s names no digest", ref)
		}
		parsed, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Image(parsed); err != nil {
			t.Errorf("%s cannot be pulled: %v", ref, err)
		}
	}
}

func TestBakeRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a package that nobody has": {func(c *Config) { c.Store = shelf{} }, "server first: It does not start.\nnpm says E404"},
		"no base":                   {func(c *Config) { c.Bases = nil }, "base image of npm"},
		"a base that is no image": {func(c *Config) {
			c.Bases[deploy.RegistryNPM] = write(t, filepath.Join(t.TempDir(), "x.tar"), "x", 0o600)
		}, "base image of npm"},
		"no shim": {func(c *Config) { c.Shim += "-missing" }, "image of the shim"},
		"a pipe in the package": {func(c *Config) {
			pipe := filepath.Join(filepath.Dir(c.Store.(shelf)["a@1.0.0"]), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no file, folder or link"},
	} {
		t.Run(what, func(t *testing.T) {
			config := config(t)
			c.change(&config)
			if _, err := Bake(t.Context(), []catalog.Server{npx}, config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
