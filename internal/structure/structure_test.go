package structure

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// rootNames are the names at the root of the repository. Those that are true must be there; the others come with later
// parts of the design.
var rootNames = map[string]bool{
	"functions": true, "shim": true, "localstack": true, "cmd": true, "internal": true, ".ci": true,
	"go.mod": true, "go.sum": true, "Makefile": true, "README.md": true, "LICENSE": true, ".gitignore": true,
	"knative": false, "terraform": false, "SECURITY.md": false,
}

// unversioned are names that tools and builds leave at the root.
var unversioned = []string{".git", "bin", ".cache", ".run"}

// tooLong excepts findings of Oversized, in its words up to the count, with the reason.
var tooLong = map[string]string{}

func TestRootNames(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	present := map[string]bool{}
	for _, e := range entries {
		present[e.Name()] = true
		if _, known := rootNames[e.Name()]; !known && !belowAny(e.Name(), unversioned) {
			t.Errorf("%s: the names at the root are fixed; put it below one of them", e.Name())
		}
	}
	for name, required := range rootNames {
		if required && !present[name] {
			t.Errorf("%s is missing at the root", name)
		}
	}
}

// noteFolders reads every folder and go.mod, so that "go test" does not answer from its cache when there is something new
// for "go list" to see: it notes what this process reads, not what a child does.
func noteFolders(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && belowAny(d.Name(), unversioned) {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
}

func TestPackages(t *testing.T) {
	noteFolders(t)
	packages, err := ListPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("go list names %d packages; the checks below would prove nothing", len(packages))
	}
	for _, v := range Violations(packages, Rules) {
		t.Error(v)
	}
	for _, p := range packages {
		problem, err := CommentProblem(p)
		if err != nil {
			t.Fatal(err)
		}
		if problem != "" {
			t.Error(problem)
		}
		checkSizes(t, p)
	}
	for name := range tooLong {
		t.Errorf("%s is excepted but no longer too long", name)
	}
}

func checkSizes(t *testing.T, p Package) {
	t.Helper()
	for _, file := range p.GoFiles {
		source, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, Module+"/") + "/" + file
		found, err := Oversized(name, source)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			excepted := f[:strings.LastIndex(f, ": ")]
			if _, ok := tooLong[excepted]; ok {
				delete(tooLong, excepted)
				continue
			}
			t.Error(f)
		}
	}
}

func TestViolations(t *testing.T) {
	packages := []Package{
		{ImportPath: Module + "/knative", Imports: []string{"k8s.io/client-go"}},
		{ImportPath: Module + "/knativeish", Imports: []string{"k8s.io/client-go"}},
		{ImportPath: Module + "/functions/deployer", Imports: []string{Module + "/knative"}, Deps: []string{"k8s.io/client-go", Module + "/knative"}},
		{ImportPath: Module + "/functions/gateway", Imports: []string{"net/http"},
			Deps: []string{"k8s.io/api", "github.com/docker/docker/client", "cel.dev/expr", Module + "/internal/condition", Module + "/internal/deploy/process", Module + "/internal/deploy", Module + "/shim/era"}},
		{ImportPath: Module + "/shim", Deps: []string{"go.yaml.in/yaml/v3", "cel.dev/cel-go/interpreter", "cel.dev/cel-go/parser/gen", Module + "/internal/condition", Module + "/functions/gateway", Module + "/internal/mcp"}},
		{ImportPath: Module + "/internal/rules", Deps: []string{Module + "/internal/policy", Module + "/localstack/issuer"}},
		{ImportPath: Module + "/localstack/sample", Deps: []string{"github.com/mark3labs/mcp-go/mcp"}},
	}
	var got []string
	for _, v := range Violations(packages, Rules) {
		got = append(got, v[:strings.Index(v, ": ")])
	}
	want := []string{
		"mcpgateway/functions/gateway links cel.dev/expr",
		"mcpgateway/functions/gateway links github.com/docker/docker/client",
		"mcpgateway/functions/gateway links k8s.io/api",
		"mcpgateway/functions/gateway links mcpgateway/internal/condition",
		"mcpgateway/functions/gateway links mcpgateway/internal/deploy/process",
		"mcpgateway/functions/gateway links mcpgateway/shim/era",
		"mcpgateway/internal/rules links mcpgateway/localstack/issuer",
		"mcpgateway/knativeish imports k8s.io/client-go",
		"mcpgateway/shim links cel.dev/cel-go/parser/gen",
		"mcpgateway/shim links go.yaml.in/yaml/v3",
		"mcpgateway/shim links mcpgateway/functions/gateway",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	for _, r := range Rules {
		if r.Why == "" || len(r.Never) == 0 || len(r.From) == 0 {
			t.Errorf("rule %+v is not complete", r)
		}
	}
}

func TestOversized(t *testing.T) {
	body := func(lines int) string { return strings.Repeat("\t_ = 0\n", lines-2) }
	tests := []struct {
		name, source string
		want         []string
	}{
		{name: "as long as may be", source: "package p\nfunc f() {\n" + body(60) + "}\n"},
		{name: "long function", source: "package p\nfunc f() {\n" + body(61) + "}\n", want: []string{"x.go: f: 61 lines, at most 60"}},
		{name: "long method", source: "package p\nfunc (t *T[K]) f() {\n" + body(61) + "}\n", want: []string{"x.go: T.f: 61 lines, at most 60"}},
		{name: "comment above does not count", source: "package p\n" + strings.Repeat("// why\n", 30) + "func f() {\n" + body(60) + "}\n"},
		{name: "long file", source: "package p\n" + strings.Repeat("var _ = 0\n", 400), want: []string{"x.go: 401 lines, at most 400"}},
	}
	for _, tt := range tests {
		got, err := Oversized("x.go", []byte(tt.source))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestCommentProblem(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{name: "library", files: map[string]string{"a.go": "// Package p is.\npackage p\n", "b.go": "package p\n"}},
		{name: "program", files: map[string]string{"a.go": "// Command x is.\npackage main\n"}},
		{name: "licence and directive", files: map[string]string{"a.go": "// Copyright\n\n//go:build linux\n\n// Package p is.\npackage p\n"}},
		{name: "none", files: map[string]string{"a.go": "// Copyright\n\npackage p\n"}, want: "x: 0 package comments, want one"},
		{name: "two", files: map[string]string{"a.go": "// Package p is.\npackage p\n", "b.go": "// Package p too.\npackage p\n"}, want: "x: 2 package comments, want one"},
		{name: "another's", files: map[string]string{"a.go": "// Package q is.\npackage p\n"}, want: `x: the package comment must begin "Package p "`},
		{name: "vague", files: map[string]string{"a.go": "// Package util is.\npackage util\n"}, want: `x: the name "util" does not say what it is for`},
	}
	for _, tt := range tests {
		p := Package{ImportPath: "x", Dir: t.TempDir()}
		for name, source := range tt.files {
			if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			p.GoFiles = append(p.GoFiles, name)
		}
		if got, err := CommentProblem(p); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}
