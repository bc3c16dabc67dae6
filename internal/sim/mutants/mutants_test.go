package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// within is how many seeds the simulator may need.
const within = 150

// TestTheSimulatorFindsEveryMutant builds the simulator with each mistake.
func TestTheSimulatorFindsEveryMutant(t *testing.T) {
	if os.Getenv("BATON_MUTANTS") == "" {
		t.Skip("MUTANTS ARE NOT TRIED: building and running each takes minutes; BATON_MUTANTS=1 (make sim-mutants) does it")
	}
	core, err := filepath.Abs("../../core")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range All() {
		t.Run(strings.ReplaceAll(m.Name, " ", "-"), func(t *testing.T) {
			binary := build(t, filepath.Join(core, m.File), m)
			for seed := m.Seed; seed < m.Seed+within; seed += 10 {
				out, err := exec.Command(binary, "-from", strconv.FormatUint(seed, 10), "-seeds", "10", "-lines", "1").CombinedOutput()
				if err == nil {
					continue
				}
				for line := range strings.Lines(string(out)) {
					if strings.Contains(line, "BROKEN by") || strings.HasPrefix(line, "panic:") {
						t.Log(line)
						return
					}
				}
				t.Fatalf("the simulator ended with %v and broke no promise:\n%s", err, out)
			}
			t.Errorf("not found by %d seeds", within)
		})
	}
}

// build builds the simulator with the mutant laid over the checkout.
func build(t *testing.T, file string, m Mutant) string {
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.Old); n != 1 {
		t.Fatalf("%q occurs %d times in %s: the mutant must be mended", m.Old, n, m.File)
	}
	dir := t.TempDir()
	mutated, overlay, binary := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim")
	laid, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(source), m.Old, m.New, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, laid, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "github.com/baton-db/baton/internal/sim/run")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the mutant: %v\n%s", err, out)
	}
	return binary
}
