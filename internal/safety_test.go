package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSafetyNamesWhatThereIs resolves every symbol, test and mutant of the table of
// invariants: an invariant that nothing checks any more is only a wish.
func TestSafetyNamesWhatThereIs(t *testing.T) {
	page, err := os.ReadFile("../docs/safety.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## The invariants, and what checks each")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| I[0-9]+ \|.*$`).FindAllString(table, -1)
	if !found || len(rows) < 15 {
		t.Fatalf("the table is gone, or has only %d rows", len(rows))
	}
	tests, mutants := testsOf(t), read(t, "sim/mutants/mutants.go")
	for _, row := range rows {
		number := strings.TrimSpace(strings.Split(row, "|")[1])
		symbols := regexp.MustCompile("`(internal/[a-z/]+)\\.([A-Za-z]+)`").FindAllStringSubmatch(row, -1)
		checks := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(row, -1)
		if len(symbols) == 0 || len(checks) == 0 {
			t.Errorf("%s names no code or no test", number)
		}
		for _, s := range symbols {
			if !declares(t, filepath.Join("..", s[1]), s[2]) {
				t.Errorf("%s: %s declares no %s", number, s[1], s[2])
			}
		}
		for _, c := range checks {
			if !tests[c[1]] {
				t.Errorf("%s: there is no test %s", number, c[1])
			}
		}
		for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(row, -1) {
			if !strings.Contains(mutants, `"`+m[1]+`"`) {
				t.Errorf("%s: there is no mutant %q", number, m[1])
			}
		}
	}
}

// testsOf are the names of all tests and fuzz tests.
func testsOf(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range declared.FindAllStringSubmatch(read(t, path), -1) {
			names[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
