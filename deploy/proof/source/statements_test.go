package source

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// particles are words that say nothing as a function's name. A function is named by a verb
// or by a noun of the vocabulary.
var particles = map[string]bool{
	"as": true, "at": true, "before": true, "between": true, "beyond": true, "by": true, "in": true, "is": true,
	"most": true, "of": true, "on": true, "own": true, "through": true, "to": true, "up": true, "with": true,
	"within": true,
}

// vague are verbs that do not say what they do to what. As methods of a store, exported, they are terms of the field.
var vague = map[string]bool{"do": true, "note": true, "put": true, "take": true}

// TestOneStatementALine allows a parallel assignment where the values depend on each other
// (a swap), for the values of one call, and in the clauses of a for loop.
func TestOneStatementALine(t *testing.T) {
	t.Parallel()
	eachFile(t, func(files *token.FileSet, file *ast.File) {
		loopClauses := map[ast.Stmt]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt:
				loopClauses[n.Init] = true
				loopClauses[n.Post] = true
			case *ast.AssignStmt:
				if len(n.Lhs) > 1 && len(n.Lhs) == len(n.Rhs) && !loopClauses[n] && !isSwap(n) {
					t.Errorf("%s: a parallel assignment: write one assignment a line", files.Position(n.Pos()))
				}
			case *ast.BlockStmt:
				checkBlock(t, files, n)
			}
			return true
		})
	})
}

// checkBlock fails when two statements of the block begin on one line.
func checkBlock(t *testing.T, files *token.FileSet, block *ast.BlockStmt) {
	line := 0
	for _, s := range block.List {
		position := files.Position(s.Pos())
		if position.Line == line {
			t.Errorf("%s: two statements on one line", position)
		}
		line = position.Line
	}
}

// isSwap tells whether a later value, or the place it goes to, uses what the statement
// assigns before it, so that one assignment a line would mean something else.
func isSwap(n *ast.AssignStmt) bool {
	for i, left := range n.Lhs {
		assigned := types.ExprString(left)
		for j := i + 1; j < len(n.Rhs); j++ {
			if mentions(n.Rhs[j], assigned) || n.Lhs[j] != left && mentions(n.Lhs[j], assigned) {
				return true
			}
		}
	}
	return false
}

func mentions(e ast.Expr, text string) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && types.ExprString(e) == text {
			found = true
		}
		return !found
	})
	return found
}

// TestFunctionNames refuses particles as names.
func TestFunctionNames(t *testing.T) {
	t.Parallel()
	eachFile(t, func(files *token.FileSet, file *ast.File) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv != nil && f.Name.Name == "At" {
				continue // golang.org/x/term wants a history to have it.
			}
			if ok && (particles[strings.ToLower(f.Name.Name)] || vague[f.Name.Name]) {
				t.Errorf("%s: %q says nothing: name the function by a verb or a noun",
					files.Position(f.Pos()), f.Name.Name)
			}
		}
	})
}

// eachFile parses every Go file of the repository.
func eachFile(t *testing.T, each func(*token.FileSet, *ast.File)) {
	t.Helper()
	files := token.NewFileSet()
	found := 0
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if isInstalled(entry) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found++
		each(files, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 100 {
		t.Fatalf("%d Go files below %s only", found, repository)
	}
}

// repository is the root of the repository, from this folder.
const repository = "../../.."
