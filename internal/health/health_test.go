package health

import (
	"flag"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/core/cluster"
)

var update = flag.Bool("update", false, "write docs/failures.md anew")

const document = "../../docs/failures.md"

// reasons reads every constant of type Reason from the source, by value.
func reasons(t *testing.T) map[cluster.Reason][]string {
	t.Helper()
	files, err := filepath.Glob("../core/cluster/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[cluster.Reason][]string)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
				return true
			}
			for i, name := range spec.Names {
				lit, ok := spec.Values[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					t.Fatalf("%s is no plain text", name.Name)
				}
				r := cluster.Reason(constant.StringVal(constant.MakeFromLiteral(lit.Value, lit.Kind, 0)))
				found[r] = append(found[r], name.Name)
			}
			return true
		})
	}
	return found
}

func TestEveryReasonHasOneRowAndEveryRowAReason(t *testing.T) {
	want := reasons(t)
	if len(want) < 70 {
		t.Fatalf("only %d reasons were found in the source", len(want))
	}
	rows := make(map[cluster.Reason]int)
	for _, c := range Chapters() {
		for _, r := range c.Rows {
			rows[r.Reason]++
		}
	}
	for r, names := range want {
		if rows[r] != 1 {
			t.Errorf("%q (%s) has %d rows", r, strings.Join(names, ", "), rows[r])
		}
	}
	for r := range rows {
		if _, ok := want[r]; !ok {
			t.Errorf("there is a row for %q, but no such reason", r)
		}
	}
}

func TestEveryRowIsCompleteAndWellFormed(t *testing.T) {
	for _, c := range Chapters() {
		for _, r := range c.Rows {
			for name, text := range map[string]string{"sign": r.Sign, "evidence": r.Evidence, "baton": r.Baton, "you": r.You} {
				switch {
				case text == "":
					t.Errorf("%q has no %s", r.Reason, name)
				case text != strings.TrimSpace(text) || strings.Contains(text, "\n") || strings.Contains(text, "  "):
					t.Errorf("the %s of %q has stray spaces", name, r.Reason)
				case !strings.ContainsAny(text[len(text)-1:], ".?"):
					t.Errorf("the %s of %q is no sentence: %s", name, r.Reason, text)
				}
			}
			if len(r.Sign) > 120 {
				t.Errorf("the sign of %q does not fit on a line: %d letters", r.Reason, len(r.Sign))
			}
			if !slices.Contains([]Severity{Normal, Notice, Warning, Critical}, r.Severity) {
				t.Errorf("%q has severity %q", r.Reason, r.Severity)
			}
			// Somebody who is woken must be told to do something.
			if (r.Severity == Critical || r.Severity == Warning) && r.You == "Nothing." {
				t.Errorf("%q is %s, but nothing is to be done", r.Reason, r.Severity)
			}
		}
	}
}

// The texts send people to commands, conditions and keys: they must exist.
func TestTextsNameOnlyCommandsThatExist(t *testing.T) {
	commands := []string{"run", "init", "status", "switchover", "failover", "explain", "pause", "resume", "maintenance", "rejoin", "history", "lost", "conns", "store", "config", "version", "lab"}
	for _, c := range Chapters() {
		for _, r := range c.Rows {
			for _, text := range []string{r.Sign, r.Evidence, r.Baton, r.You, c.Intro} {
				for _, part := range strings.Split(text, "`baton ")[1:] {
					word, _, _ := strings.Cut(strings.TrimRight(part, "`"), " ")
					word, _, _ = strings.Cut(word, "`")
					if !slices.Contains(commands, word) {
						t.Errorf("%q speaks of baton %s", r.Reason, word)
					}
				}
			}
		}
	}
}

func TestExplain(t *testing.T) {
	got, ok := Explain(cluster.AwaitingPromises)
	if !ok || got.Reason != cluster.AwaitingPromises || got.Severity != Critical || !strings.Contains(got.You, "--force") {
		t.Errorf("awaiting-promises: %v %+v", ok, got)
	}
	got, ok = Explain("from-the-future")
	if ok || !strings.Contains(got.Sign, strconv.Quote("from-the-future")) {
		t.Errorf("an unknown reason: %v %+v", ok, got)
	}
}

func TestDocumentationSaysWhatTheCatalogueSays(t *testing.T) {
	if *update {
		if err := os.WriteFile(document, []byte(Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Document(), string(got)); diff != "" {
		t.Errorf("docs/failures.md is out of date (go test ./internal/health -run Documentation -update):\n%s", diff)
	}
}
