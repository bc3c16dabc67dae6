package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/scenario"
)

// cheapScenarios are those that every run of the tests tries on a lab.
var cheapScenarios = []string{"host-death-seen-late", "transactions-left-behind"}

// TestScenariosOnALab runs the scripts that the simulator runs, with real servers.
func TestScenariosOnALab(t *testing.T) {
	files, err := filepath.Glob("../../scenario/scripts/*.scenario")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	all := os.Getenv(runsVar) != ""
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".scenario")
		if !all && !slices.Contains(cheapScenarios, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := scenario.Parse(string(b))
			if err != nil {
				t.Fatal(err)
			}
			if !s.Runs(scenario.InLab) {
				t.Skipf("only in the %s: %s", s.Only, s.Because)
			}
			if err := shared(t, config.MariaDB).Scenario(inTime(t), s, t.Logf); err != nil {
				t.Fatal(err)
			}
		})
	}
}
