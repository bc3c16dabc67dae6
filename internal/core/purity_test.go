// Package core_test keeps the core pure: no clock, I/O, goroutine, lock, log or
// random number inside (design.md, section 12).
package core_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const core = "github.com/baton-db/baton/internal/core/"

// pure are the packages that the core may import besides itself: they compute.
// Whoever wants another one shows that it does nothing else.
var pure = []string{
	"bytes", "cmp", "container/heap", "crypto/sha256", "encoding", "encoding/binary", "encoding/hex", "encoding/json",
	"errors", "fmt", "hash/fnv", "iter", "maps", "math", "math/bits", "math/rand/v2", "net/netip", "reflect", "slices",
	"sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
}

// impure are names of pure packages that read or change the world.
var impure = map[string][]string{
	"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"time": {"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep", "Local", "LoadLocation"},
}

// seeded are the names of math/rand/v2 that need no global source.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "PCG", "ChaCha8", "Rand", "Source", "Zipf"}

func TestTheCoreIsPure(t *testing.T) {
	documented := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			for _, finding := range sleeps(fset, file) {
				t.Error(finding)
			}
			return nil
		}
		dir := filepath.Dir(name)
		documented[dir] = documented[dir] || strings.HasPrefix(file.Doc.Text(), "Package "+file.Name.Name+" ")
		for _, finding := range check(fset, file) {
			t.Error(finding)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cluster", "gtid", "detect", "candidate"} {
		if _, seen := documented[want]; !seen {
			t.Errorf("package %s was not found: is the test looking at the right place?", want)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment beginning with \"Package %s \"", dir, filepath.Base(dir))
		}
	}
}

// check returns everything in a file that is not pure.
func check(fset *token.FileSet, file *ast.File) []string {
	c := checker{fset: fset, imports: map[string]string{}}
	for _, spec := range file.Imports {
		c.checkImport(spec)
	}
	for _, d := range file.Decls {
		c.checkDecl(d)
	}
	ast.Inspect(file, c.checkNode)
	return c.findings
}

type checker struct {
	fset     *token.FileSet
	imports  map[string]string // local name to path
	findings []string
}

func (c *checker) found(n ast.Node, format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf("%s: %s", c.fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
}

func (c *checker) checkImport(spec *ast.ImportSpec) {
	from, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		c.found(spec, "import %s", spec.Path.Value)
		return
	}
	if !strings.HasPrefix(from, core) && !slices.Contains(pure, from) {
		c.found(spec, "imports %s, which is neither of the core nor on the list of pure packages", from)
	}
	name := strings.TrimSuffix(from, "/v2")
	name = path.Base(name)
	if spec.Name != nil {
		if name = spec.Name.Name; name == "." || name == "_" {
			c.found(spec, "imports %s as %q, which hides what is used of it", from, name)
		}
	}
	c.imports[name] = from
}

// checkDecl looks for state that outlives a call, and code that nobody calls.
func (c *checker) checkDecl(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			c.found(d, "func init runs unasked")
		}
		if d.Body == nil {
			c.found(d, "%s has its body elsewhere", d.Name.Name)
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return
		}
		for _, spec := range d.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if name.Name != "_" && (i >= len(v.Values) || !c.isNewError(v.Values[i])) {
					c.found(name, "variable %s of the package can change: make it a constant or the result of a function", name.Name)
				}
			}
		}
	}
}

func (c *checker) isNewError(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	from, name := c.selected(call.Fun)
	return from == "errors" && name == "New"
}

// selected returns the package and name of a qualified identifier.
func (c *checker) selected(n ast.Node) (from, name string) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || x.Obj != nil { // a variable of that name
		return "", ""
	}
	return c.imports[x.Name], sel.Sel.Name
}

func (c *checker) checkNode(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.found(n, "starts a goroutine")
	case *ast.SendStmt:
		c.found(n, "sends to a channel")
	case *ast.SelectStmt:
		c.found(n, "waits for channels")
	case *ast.ChanType:
		c.found(n, "has a channel")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.found(n, "receives from a channel")
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && f.Obj == nil && (f.Name == "print" || f.Name == "println") {
			c.found(n, "prints")
		}
	case *ast.SelectorExpr:
		from, name := c.selected(n)
		if slices.Contains(impure[from], name) || from == "math/rand/v2" && !slices.Contains(seeded, name) {
			c.found(n, "uses %s.%s", from, name)
		}
	}
	return true
}

// sleeps finds tests that wait for time to pass.
func sleeps(fset *token.FileSet, file *ast.File) []string {
	c := checker{fset: fset, imports: map[string]string{}}
	for _, spec := range file.Imports {
		c.checkImport(spec)
	}
	c.findings = nil // tests may import what they like
	ast.Inspect(file, func(n ast.Node) bool {
		if from, name := c.selected(n); from == "time" && name == "Sleep" {
			c.found(n, "a test of the core sleeps")
		}
		return true
	})
	return c.findings
}
