package source

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsCiteTests fails when a document names a test or a benchmark that does not exist. A
// name may be the beginning of a test's name, as in the argument of -run.
func TestDocumentsCiteTests(t *testing.T) {
	t.Parallel()
	var declared []string
	eachFile(t, func(_ *token.FileSet, file *ast.File) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				declared = append(declared, f.Name.Name)
			}
		}
	})
	cited := regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w*`)
	documents := 0
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || isInstalled(entry) {
			return skipFolder(err)
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		documents++
		raw, err := os.ReadFile(path)
		for _, name := range cited.FindAllString(string(raw), -1) {
			if !anyHasPrefix(declared, name) {
				t.Errorf("%s cites %s, which does not exist", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents < 5 {
		t.Fatalf("%d Markdown files below %s only", documents, repository)
	}
}

// isInstalled reports whether a folder holds what make builds and installs. That is not written here.
func isInstalled(entry fs.DirEntry) bool {
	return entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "bin" || entry.Name() == ".git")
}

func skipFolder(err error) error {
	if err != nil {
		return err
	}
	return filepath.SkipDir
}

func anyHasPrefix(names []string, prefix string) bool {
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
