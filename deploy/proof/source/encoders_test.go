package source

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// escapingFiles have JSON that no person reads and whose stored or sent form stays as it is.
var escapingFiles = []string{"deploy/client/acklog/acklog.go", "deploy/dist/", "deploy/proof/"}

// TestEncodersDoNotEscapeHTML: JSON for people shows <, > and & as they are, in errors and in the data of clients. An
// encoder escapes them unless it is told not to, and MarshalIndent always does.
func TestEncodersDoNotEscapeHTML(t *testing.T) {
	t.Parallel()
	eachFile(t, func(files *token.FileSet, file *ast.File) {
		name := files.Position(file.Pos()).Filename
		if strings.HasSuffix(name, "_test.go") ||
			slices.ContainsFunc(escapingFiles, func(f string) bool { return strings.Contains(name, f) }) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f, isFunction := n.(*ast.FuncDecl)
			if !isFunction {
				return true
			}
			if calls(f, "MarshalIndent") || calls(f, "NewEncoder") && !calls(f, "SetEscapeHTML") {
				t.Errorf("%s: %s writes JSON that escapes HTML: call SetEscapeHTML(false)", files.Position(f.Pos()),
					f.Name.Name)
			}
			return true
		})
	})
}

// calls reports whether a function calls something of that name of package json, or of an encoder of it.
func calls(f *ast.FuncDecl, name string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		s, isSelector := n.(*ast.SelectorExpr)
		if isSelector && s.Sel.Name == name {
			x, isName := s.X.(*ast.Ident)
			found = found || name == "SetEscapeHTML" || isName && x.Name == "json"
		}
		return true
	})
	return found
}
