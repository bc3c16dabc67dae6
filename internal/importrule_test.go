// Package internal_test keeps the import rule of design.md, section 12: core
// imports core; an edge imports core and never another edge; what people look
// at sees the store and the core. So a new endpoint cannot reach a database,
// and a web page cannot promote.
package internal_test

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

const module = "github.com/baton-db/baton/"

// layer is what the packages of one kind may import of this module, besides
// themselves and what is below them. Names are folders below internal; client is
// the public package.
type layer struct {
	packages []string
	imports  []string
}

var (
	edges  = []string{"audit", "backfill", "datadir", "peer", "probe", "db", "fence", "endpoint", "store", "proc", "realtime", "pki", "timeline", "vitals", "dnsserver", "ledger", "tickle"}
	people = []string{"api", "web", "cli"}
)

// layers is the rule. Packages need not exist yet; one that is in none of them
// is refused until somebody has decided where it belongs.
var layers = []layer{
	{[]string{"core", "deps"}, nil},
	{[]string{"clock", "client", "httpcall", "render", "command", "bfd"}, []string{"core"}},
	{edges, []string{"core", "clock", "httpcall", "render", "command", "bfd"}},
	{[]string{"config", "health"}, []string{"core", "clock", "render"}},
	{[]string{"notify"}, []string{"core", "clock", "httpcall", "render"}},
	{people, append([]string{"core", "clock", "store", "config", "timeline", "health"}, people...)},
	{[]string{"doctor"}, append([]string{"core", "clock", "config", "health"}, edges...)},
	// The agent wires: it may see everything but what drives it.
	{[]string{"agent"}, append([]string{"core", "clock", "httpcall", "render", "command", "bfd", "config", "health", "notify", "doctor", "api", "web"}, edges...)},
	{[]string{"lab", "sim", "scenario"}, append([]string{"core", "clock", "config", "health", "notify", "doctor", "agent", "api", "httpcall", "lab", "sim", "scenario"}, edges...)},
}

// labCommand are the files that may import the lab although others of their
// package may not.
func labCommand(file string) bool {
	dir, name := path.Split(file)
	return strings.HasPrefix(dir, "internal/cli/") && (strings.HasPrefix(name, "lab") || strings.HasPrefix(dir, "internal/cli/lab"))
}

// allowed says why a file may not import a package, or nothing if it may.
// Both are slash-separated and below the module's root.
func allowed(file, imported string) string {
	from, to := folder(file), folder(imported+"/")
	switch {
	case to == "client" || to == from:
		return ""
	case strings.HasPrefix(file, "cmd/"):
		return "" // commands wire what they like
	case (to == "lab" || to == "sim" || to == "scenario") && labCommand(file):
		return ""
	}
	for _, l := range layers {
		if !slices.Contains(l.packages, from) {
			continue
		}
		if slices.Contains(l.imports, to) {
			return ""
		}
		return fmt.Sprintf("internal/%s may import of this module only itself and %s", from, strings.Join(l.imports, ", "))
	}
	return fmt.Sprintf("nobody has said what internal/%s may import: add it to the table of this test", from)
}

// folder returns the first folder below internal, or outside of it below the
// root.
func folder(name string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "internal/"), "/")
	return first
}

func TestImportRule(t *testing.T) {
	seen := 0
	eachFile(t, func(name string, fset *token.FileSet, file *ast.File) {
		seen++
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if own, is := strings.CutPrefix(imported, module); is {
				if why := allowed(name, own); why != "" {
					t.Errorf("%s imports %s: %s", fset.Position(spec.Pos()), own, why)
				}
			}
		}
	})
	if seen < 10 {
		t.Errorf("only %d files were found: is the test looking at the right place?", seen)
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	eachFile(t, func(name string, _ *token.FileSet, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		dir, want := path.Dir(name), "Package "+file.Name.Name+" "
		if file.Name.Name == "main" {
			want = "Command "
		}
		documented[dir] = documented[dir] || strings.HasPrefix(file.Doc.Text(), want)
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment beginning with \"Package …\" (\"Command …\" for a command)", dir)
		}
	}
}

// eachFile parses the Go files of the module that are code.
func eachFile(t *testing.T, visit func(name string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if base := d.Name(); base == "testdata" || base == "vendor" || len(base) > 2 && base[0] == '.' {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.ImportsOnly)
		if err != nil {
			return err
		}
		if name, err = filepath.Rel("..", name); err == nil {
			visit(filepath.ToSlash(name), fset, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheRuleItself(t *testing.T) {
	for _, tt := range []struct {
		file, imported string
		ok             bool
	}{
		{"internal/core/decide/decide.go", "internal/core/gtid", true},
		{"internal/core/decide/decide.go", "internal/clock", false},
		{"internal/core/decide/decide.go", "internal/db", false},
		{"internal/endpoint/vip/vip.go", "internal/core/cluster", true},
		{"internal/endpoint/vip/vip.go", "internal/endpoint", true},
		{"internal/endpoint/vip/vip.go", "internal/clock", true},
		{"internal/endpoint/vip/vip.go", "internal/db", false},
		{"internal/endpoint/hook/hook.go", "internal/proc", false},
		{"internal/store/embed/embed.go", "internal/store", true},
		{"internal/store/embed/embed.go", "internal/pki", false},
		{"internal/agent/loop.go", "internal/db/mariadb", true},
		{"internal/agent/loop.go", "internal/api", true},
		{"internal/agent/loop.go", "internal/cli", false},
		{"internal/agent/loop.go", "internal/lab", false},
		{"internal/web/page.go", "internal/store", true},
		{"internal/web/page.go", "internal/agent", false},
		{"internal/web/page.go", "internal/fence", false},
		{"internal/api/server.go", "internal/timeline", true},
		{"internal/cli/status.go", "internal/api", true},
		{"internal/cli/status.go", "internal/lab", false},
		{"internal/cli/status.go", "internal/agent", false},
		{"internal/cli/lab.go", "internal/lab", true},
		{"internal/cli/lab_bench.go", "internal/lab", true},
		{"internal/cli/labcmd/up.go", "internal/lab/host", true},
		{"internal/cli/lab.go", "internal/db", false},
		{"internal/sim/sim.go", "internal/agent", true},
		{"internal/sim/sim.go", "internal/cli", false},
		{"internal/lab/lab.go", "internal/sim", true},
		{"internal/newcomer/x.go", "internal/core/gtid", false},
		{"internal/api/server.go", "client", true},
		{"client/connector.go", "internal/core/cluster", true},
		{"client/connector.go", "internal/agent", false},
		{"cmd/baton/main.go", "internal/agent", true},
	} {
		if why := allowed(tt.file, tt.imported); (why == "") != tt.ok {
			t.Errorf("%s imports %s: %q", tt.file, tt.imported, why)
		}
	}
}
