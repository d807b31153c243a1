package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// writeFiles makes a folder with files in it and returns its path.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func server(id string) string { return strings.Replace(oneServer, "id: a", "id: "+id, 1) }

func TestFolder(t *testing.T) {
	allow := func(name, server string) string {
		return fmt.Sprintf("policies: [{name: %s, allow: {anyone: true}, servers: [%s]}]\n", name, server)
	}
	tests := []struct {
		name    string
		files   map[string]string
		servers string
		want    string // the whole error, the folder left out
	}{
		{"joined in order", map[string]string{"b.yaml": server("b"), "a.yml": server("a") + allow("p", "b"), "README.md": "no: [", "..data/x": "y"}, "a b", ""},
		{"all problems of all files", map[string]string{"a.yaml": "apiVersion: v2\n", "b.yaml": "x: 1\napiVersion: v1\n", "c.yaml": ""},
			"", "a.yaml:1: apiVersion must be v1\nb.yaml:1: unknown field \"x\"\nc.yaml: the file is empty"},
		{"ids across files", map[string]string{"a.yaml": server("a"), "b.yaml": server("a")},
			"", `b.yaml:3: server "a" is defined already, at a.yaml:3`},
		{"ids in a file", map[string]string{"a.yaml": server("a") + "  - {id: a, runtime: {command: {exec: x, http: {}}}}\n"},
			"", `a.yaml:5: server "a" is defined already, at a.yaml:3`},
		{"policies across files", map[string]string{"a.yaml": server("a") + allow("p", "a"), "b.yaml": server("b") + allow("p", "b")},
			"", `b.yaml:5: policy "p" is defined already, at a.yaml:5`},
		{"no files", map[string]string{"x.txt": ""}, "", ": the folder holds no .yaml or .yml file"},
		{"subfolder", map[string]string{"a.yaml": server("a"), "deny/b.yaml": ""}, "", `: "deny" is a folder: a catalog folder holds files only`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := writeFiles(t, tt.files)
			c, err := LoadCatalog(dir, testPlatform, nil)
			if err != nil {
				got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+"/", ""), dir, "")
				if _, ok := errors.AsType[Problems](err); !ok || got != tt.want || c != nil {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
				return
			}
			var ids []string
			for _, s := range c.Servers {
				ids = append(ids, s.ID)
			}
			if got := strings.Join(ids, " "); tt.want != "" || got != tt.servers {
				t.Errorf("got %s, want %s%s", got, tt.servers, tt.want)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := writeFiles(t, map[string]string{"big.yaml": strings.Repeat("#", maxFile+1), "folder/x": ""})
	if err := syscall.Mkfifo(dir+"/pipe.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", dir+"/folder/link.yaml"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"missing.yaml": "read: no such file or directory",
		"big.yaml":     "the file is larger than 4 MiB",
		"pipe.yaml":    "read: not a regular file",
		"folder":       `read "link.yaml": no such file or directory`,
	} {
		path := dir + "/" + name
		if _, err := LoadCatalog(path, nil, nil); err == nil || err.Error() != path+": "+want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadPlatform(dir + "/folder"); err == nil || !strings.HasSuffix(err.Error(), "not a regular file") {
		t.Errorf("a folder as platform: %v", err)
	}
}

// The sizes of a folder's files are added up before any is read.
func TestTooLargeFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range maxCatalog/maxFile + 1 {
		f, err := os.Create(fmt.Sprintf("%s/%d.yaml", dir, i))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(maxFile), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadCatalog(dir, nil, nil); err == nil || err.Error() != dir+": the folder's files are larger than 32 MiB together" {
		t.Errorf("got %.200v", err)
	}
}

// Without a platform there is nothing to hold subjects against; all else is checked.
func TestCatalogWithoutPlatform(t *testing.T) {
	text := oneServer + "policies: [{name: p, allow: {users: [\"x:y\"]}, servers: [a]}]\n"
	dir := writeFiles(t, map[string]string{"a.yaml": text, "b.yaml": text + "x: 1\n"})
	if _, err := LoadCatalog(dir+"/a.yaml", nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := ParseCatalog(dir+"/b.yaml", nil); err == nil || !strings.HasSuffix(err.Error(), `b.yaml:6: unknown field "x"`) {
		t.Errorf("got %v", err)
	}
}

func TestTooManyServers(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nservers:\n")
	for i := range maxServers {
		fmt.Fprintf(&b, "  - {id: s%d, runtime: {command: {exec: x, http: {}}}}\n", i)
	}
	checkLines(t, problemsOf(t, b.String(), catalogUnbuilt))
	checkLines(t, problemsOf(t, b.String()+"  - {}\n", catalogUnbuilt), "2: servers holds more than 10000 items")
	dir := writeFiles(t, map[string]string{"a.yaml": b.String(), "b.yaml": oneServer})
	_, err := LoadCatalog(dir, testPlatform, nil)
	if want := dir + "/a.yaml: the catalog holds 10001 servers; at most 10000 are possible"; err == nil || err.Error() != want {
		t.Errorf("in two files: %v", err)
	}
}

func TestValidate(t *testing.T) {
	dir := writeFiles(t, map[string]string{"p.yaml": goodPlatform, "catalog.yaml": oneServer, "bad.yaml": "apiVersion: v1\nx: 1\n",
		"badp.yaml": strings.Replace(goodPlatform, "v1", "v2", 1), "badp2.yaml": "publicURL: ["})
	tests := []struct {
		platform string
		catalogs []string
		servers  int
		want     []string
	}{
		{"p.yaml", nil, 1, nil},
		{"p.yaml", []string{"catalog.yaml", "catalog.yaml"}, 2, nil},
		{"badp.yaml", []string{"bad.yaml"}, 0, []string{"1: apiVersion must be v1", `2: unknown field "x"`}},
		{"badp2.yaml", nil, 0, []string{"1: did not find expected node content"}},
	}
	for _, tt := range tests {
		for i := range tt.catalogs {
			tt.catalogs[i] = dir + "/" + tt.catalogs[i]
		}
		servers, _, problems := Validate(dir+"/"+tt.platform, tt.catalogs, nil)
		if servers != tt.servers {
			t.Errorf("%s: %d servers", tt.platform, servers)
		}
		checkLines(t, lines(problems), tt.want...)
	}
}
