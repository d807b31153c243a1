package structure

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// vagueNames say nothing of what a package is for.
var vagueNames = []string{"util", "utils", "common", "types", "helpers", "misc", "shared"}

// CommentProblem tells what is wrong with the comment or the name of a package; "" where nothing is.
// A library's comment begins "Package name", a program's "Command ".
func CommentProblem(p Package) (string, error) {
	var comments []string
	var name string
	for _, file := range p.GoFiles {
		source, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			return "", fmt.Errorf("read package: %w", err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return "", fmt.Errorf("parse package: %w", err)
		}
		name = parsed.Name.Name
		if parsed.Doc != nil {
			comments = append(comments, parsed.Doc.Text())
		}
	}
	begin := "Package " + name + " "
	if name == "main" {
		begin = "Command "
	}
	switch {
	case belowAny(name, vagueNames):
		return fmt.Sprintf("%s: the name %q does not say what it is for", p.ImportPath, name), nil
	case len(comments) != 1:
		return fmt.Sprintf("%s: %d package comments, want one", p.ImportPath, len(comments)), nil
	case !strings.HasPrefix(comments[0], begin):
		return fmt.Sprintf("%s: the package comment must begin %q", p.ImportPath, begin), nil
	}
	return "", nil
}
