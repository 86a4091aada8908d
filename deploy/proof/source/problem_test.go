package source

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// problemPackage is the folder of the only writer of refusals.
const problemPackage = "schemas/problem/"

// TestOneProblemWriter fails when another package writes a refusal by hand, or names a code
// in a text: then nothing would compare it with the document.
func TestOneProblemWriter(t *testing.T) {
	t.Parallel()
	eachFile(t, func(files *token.FileSet, file *ast.File) {
		name := files.Position(file.Pos()).Filename
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, problemPackage) ||
			strings.Contains(name, "deploy/proof/") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if strings.Contains(n.Value, "application/problem+json") {
					t.Errorf("%s: use schemas/problem", files.Position(n.Pos()))
				}
			case *ast.CallExpr:
				called := types.ExprString(n.Fun)
				if called == "http.Error" || called == "http.NotFound" {
					t.Errorf("%s: %s answers in plain text: use problem.Write", files.Position(n.Pos()), called)
				}
				if called == "problem.New" && literal(n.Args[1]) || called == "problem.Code" && literal(n.Args[0]) {
					t.Errorf("%s: a code in a text: use a constant of schemas/problem", files.Position(n.Pos()))
				}
			case *ast.CompositeLit:
				checkCode(t, files, n)
			}
			return true
		})
	})
}

// checkCode refuses a problem whose code is a text.
func checkCode(t *testing.T, files *token.FileSet, n *ast.CompositeLit) {
	if n.Type == nil || types.ExprString(n.Type) != "problem.Problem" {
		return
	}
	for _, element := range n.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok && types.ExprString(pair.Key) == "Code" && literal(pair.Value) {
			t.Errorf("%s: a code in a text: use a constant of schemas/problem", files.Position(pair.Pos()))
		}
	}
}

func literal(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && l.Kind == token.STRING
}
