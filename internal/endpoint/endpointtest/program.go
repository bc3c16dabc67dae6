package endpointtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Program returns the path of a program that a test runs, which may be in the
// administrator's directories or in one of dirs. A machine without it skips the test
// loudly, and where BATON_REQUIRE names it the test fails.
func Program(t testing.TB, name string, dirs ...string) string {
	t.Helper()
	for _, dir := range slices.Concat(filepath.SplitList(os.Getenv("PATH")), []string{"/usr/sbin", "/sbin"}, dirs) {
		path := filepath.Join(dir, name)
		if s, err := os.Stat(path); err == nil && s.Mode().IsRegular() && s.Mode()&0o111 != 0 {
			return path
		}
	}
	if slices.Contains(strings.Fields(os.Getenv("BATON_REQUIRE")), name) {
		t.Fatalf("NOTHING WAS TESTED, and BATON_REQUIRE asks for it: no %s here", name)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: no %s here (scripts/setup.sh test installs it)", name)
	return ""
}
