package structure

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// What can be read in one sight.
const (
	MaxFileLines = 400
	MaxFuncLines = 60
)

// Oversized lists what is too long in a source file: the file itself, and its functions. A function is named
// "file: Name" or "file: Type.Name".
func Oversized(name string, source []byte) ([]string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	var found []string
	if lines := strings.Count(string(source), "\n"); lines > MaxFileLines {
		found = append(found, fmt.Sprintf("%s: %d lines, at most %d", name, lines, MaxFileLines))
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; lines > MaxFuncLines {
			found = append(found, fmt.Sprintf("%s: %s: %d lines, at most %d", name, funcName(f), lines, MaxFuncLines))
		}
	}
	return found, nil
}

func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	if ident, ok := receiver.(*ast.Ident); ok {
		return ident.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
