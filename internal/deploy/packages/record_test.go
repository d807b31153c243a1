package packages

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"mcpgateway/internal/deploy"
)

// FuzzRecord reads what a package's script may have written beside its folder. Whatever is taken names a file in a
// folder of that very package, and is what would be written.
func FuzzRecord(f *testing.F) {
	for _, p := range []deploy.Package{{Registry: "npm", Name: "@a/b@1.2.3"}, {Registry: "pypi", Name: "a==1"}} {
		for _, r := range []record{
			{Folder: "1", Program: "node_modules/.bin/b"}, {Folder: "1", Program: "../x"}, {Folder: "1", Program: "/bin/sh"}, {Folder: "1"},
			{Folder: "1/../../x", Program: "b"}, {Folder: "/1", Program: "b"},
		} {
			r.Package, r.Folder = p, hiddenName(p)+r.Folder
			text, err := json.Marshal(r)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text)
		if err != nil {
			if r != (record{}) {
				t.Errorf("%q: %+v and %v", text, r, err)
			}
			return
		}
		const store = "/store"
		folder := filepath.Join(store, r.Folder)
		if filepath.Dir(folder) != store || !strings.HasPrefix(folder, store+"/."+baseName(r.Package)+"~") {
			t.Errorf("%q: the folder %q is not the package's", text, r.Folder)
		}
		if program := filepath.Join(folder, r.Program); program != folder && !strings.HasPrefix(program, folder+"/") {
			t.Errorf("%q: the program %q is not in its folder", text, r.Program)
		}
		written, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseRecord(written); err != nil || again != r {
			t.Errorf("%q: written as %q, read as %+v, %v", text, written, again, err)
		}
	})
}
