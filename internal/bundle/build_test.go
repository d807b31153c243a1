package main

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// module is one with a function that says what was built.
func module(t *testing.T) build {
	t.Helper()
	b := build{module: t.TempDir(), version: "1.2.3", commit: "0a1b2c"}
	for name, text := range map[string]string{
		"go.mod": "module example.test/m\n\ngo 1.26\n",
		"functions/hello/main.go": "package main\n\nimport (\"errors\"; \"fmt\"; \"runtime/debug\")\n\nvar version, commit string\n\n" +
			"func main() { fmt.Println(version, commit, errors.New(string(debug.Stack()))) }\n",
	} {
		file := filepath.Join(b.module, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b build) make(t *testing.T, processor string) []byte {
	t.Helper()
	out, err := b.zip(context.Background(), "hello", processor, "")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The same source in two places is the same bytes, whatever the environment says, and another version is not.
func TestSameBytes(t *testing.T) {
	one := module(t)
	first := one.make(t, "arm64")
	other := module(t)
	t.Setenv("GOFLAGS", "-tags=other")
	t.Setenv("GOARM64", "v9.0")
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("TMPDIR", t.TempDir())
	if !bytes.Equal(first, other.make(t, "arm64")) {
		t.Error("other bytes in another place")
	}
	other.version = "1.2.4"
	if bytes.Equal(first, other.make(t, "arm64")) {
		t.Error("another version is the same bytes")
	}
}

// What is in the zip runs as Lambda starts it, knows what it is, and names no path of this machine.
func TestWhatIsInIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the program is for Linux")
	}
	b := module(t)
	text := b.make(t, runtime.GOARCH)
	files, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil || len(files.File) != 1 {
		t.Fatalf("%v", err)
	}
	f := files.File[0]
	if f.Name != "bootstrap" || f.Mode() != 0o755 || !f.Modified.Equal(madeAt) {
		t.Errorf("%s, %v, made %v", f.Name, f.Mode(), f.Modified)
	}
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	program, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), f.Name)
	if err := os.WriteFile(at, program, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(at).Output()
	if err != nil || !strings.HasPrefix(string(out), "1.2.3 0a1b2c ") || strings.Contains(string(out), b.module) {
		t.Errorf("it says %s, %v", out, err)
	}
}

func TestBrokenSource(t *testing.T) {
	b := module(t)
	if _, err := b.zip(t.Context(), "none", "arm64", ""); err == nil || !strings.Contains(err.Error(), "functions/none") {
		t.Errorf("built nothing: %v", err)
	}
}

// The commit says whether the source is what it names.
func TestCommit(t *testing.T) {
	dir := t.TempDir()
	if _, err := commitOf(t.Context(), dir); err == nil {
		t.Error("a commit of no repository")
	}
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.test"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	file := filepath.Join(dir, "f")
	_ = os.WriteFile(file, nil, 0o600)
	git("add", ".")
	git("commit", "-q", "-m", "first")
	clean, err := commitOf(t.Context(), dir)
	if err != nil || len(clean) != 40 {
		t.Errorf("commit %q, %v", clean, err)
	}
	_ = os.WriteFile(file, []byte("x"), 0o600)
	if changed, err := commitOf(t.Context(), dir); err != nil || changed != clean+"-changed" {
		t.Errorf("commit %q, %v", changed, err)
	}
}

// The script at the edge is packed under the name that its handler has.
func TestEdge(t *testing.T) {
	b := build{module: filepath.Join("..", "..")}
	text, err := b.edge()
	if err != nil {
		t.Fatal(err)
	}
	files, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil || len(files.File) != 1 || files.File[0].Name != "index.mjs" {
		t.Errorf("%v, %d files", err, len(files.File))
	}
}
