package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArchitectureNamesWhatThereIs resolves every symbol of the table "Where is
// X decided?": a page that names what was renamed long ago is worse than none.
func TestArchitectureNamesWhatThereIs(t *testing.T) {
	page, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## Where is X decided?")
	table, _, _ = strings.Cut(table, "\n## ")
	symbols := regexp.MustCompile("`(internal/[a-z/]+)\\.([A-Za-z]+)`").FindAllStringSubmatch(table, -1)
	if !found || len(symbols) < 20 {
		t.Fatalf("the table is gone, or names only %d symbols", len(symbols))
	}
	for _, s := range symbols {
		if !declares(t, filepath.Join("..", s[1]), s[2]) {
			t.Errorf("%s declares no %s", s[1], s[2])
		}
	}
}

// declares reports whether a package has a function, method or type of that
// name.
func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == name {
					return true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.Name == name {
						return true
					}
				}
			}
		}
	}
	return false
}
