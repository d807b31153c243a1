package imagelock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/deploy"
)

var (
	first  = Line{"everything", deploy.Package{Registry: "npm", Name: "@a/b@1.2.3"}, "registry.example.com/mcp-everything@sha256:0a"}
	second = Line{"git", deploy.Package{Registry: "pypi", Name: "mcp-server-git[all]==2025.1.14"}, "dev.local/mcp-git:0a"}
)

func TestWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.lock")
	if got, err := Read(path); err != nil || got != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	if err := Write(path, []Line{second, first}); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if diff := cmp.Diff([]Line{first, second}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	want := map[deploy.Package]string{first.Package: first.Image, second.Package: second.Image}
	if diff := cmp.Diff(want, Images(got)); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("# x\n", maxBytes/4+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a file without end: %v", err)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"# a comment\n\n  \n":    "",
		"a npm b@1 i:1":          "",
		"a npm b@1":              "1: a line has four words",
		"\na npm b@1 i:1 x":      "2: a line has four words",
		"a gem b@1 i:1":          `1: no registry is called "gem"`,
		"a npm b i\na npm c i\n": `2: server "a" has a line already`,
	} {
		_, err := Parse([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What is read is written as it was read, and read again as it was written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Format([]Line{first, second})))
	f.Add([]byte("a npm b@1 i:1\n# x\r\nb pypi c==1 i@sha256:0"))
	f.Add([]byte("a npm b\u00a0c i"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(Format(lines))
		if err != nil || len(again) != len(lines) {
			t.Fatalf("%q is read as %+v, written and read as %+v, %v", text, lines, again, err)
		}
		for _, l := range again {
			if !strings.Contains(string(text), l.Server) || !strings.Contains(string(text), l.Image) || !strings.Contains(string(text), l.Package.Name) {
				t.Fatalf("%q has no %+v", text, l)
			}
		}
	})
}
