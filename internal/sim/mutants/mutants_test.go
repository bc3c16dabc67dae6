package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// within is how many seeds the simulator may need.
const within = 300

// tellings are how often a story is told, with other delays each time.
const tellings = 20

// quick are those that every run of the tests tries: found within a few seeds.
var quick = []string{
	"a renewal counts from its answer",
	"an election needs only one promise",
}

// TestTheSimulatorFindsEveryMutant builds the simulator with each mistake.
func TestTheSimulatorFindsEveryMutant(t *testing.T) {
	core, err := filepath.Abs("../../core")
	if err != nil {
		t.Fatal(err)
	}
	all := os.Getenv("BATON_MUTANTS") != ""
	if !all {
		t.Logf("ONLY %d OF %d MUTANTS ARE TRIED: building and running each takes a while; BATON_MUTANTS=1 (make sim-mutants) tries all", len(quick), len(All()))
	}
	for _, m := range All() {
		if !all && !slices.Contains(quick, m.Name) {
			continue
		}
		t.Run(strings.ReplaceAll(m.Name, " ", "-"), func(t *testing.T) {
			if seed := find(t, core, m); seed != "" {
				t.Log(seed)
			} else {
				t.Errorf("not found by %d seeds", within)
			}
		})
	}
}

// TestEveryMutantApplies keeps them from being forgotten when the code changes.
func TestEveryMutantApplies(t *testing.T) {
	names := map[string]bool{}
	for _, m := range All() {
		source, err := os.ReadFile(filepath.Join("../../core", m.File))
		if err != nil {
			t.Fatal(err)
		}
		if mutated, ok := m.Apply(string(source)); !ok || mutated == string(source) {
			t.Errorf("%s: it does not apply to %s any more and must be mended", m.Name, m.File)
		}
		names[m.Name] = true
	}
	for _, q := range quick {
		if !names[q] {
			t.Errorf("no mutant is called %q", q)
		}
	}
}

// find returns what the simulator with the mistake in it found; empty if nothing.
func find(t *testing.T, core string, m Mutant) string {
	binary := build(t, filepath.Join(core, m.File), m)
	if story := m.Story(); story != "" {
		return broken(t, binary, "-story", story, "-seeds", strconv.Itoa(tellings))
	}
	for seed := m.Seed; seed < m.Seed+within; seed += 10 {
		if found := broken(t, binary, "-from", strconv.FormatUint(seed, 10), "-seeds", "10", "-lines", "1"); found != "" {
			return found
		}
	}
	return ""
}

// broken runs the simulator and returns which promise was broken; empty if none was.
func broken(t *testing.T, binary string, arguments ...string) string {
	out, err := exec.Command(binary, arguments...).CombinedOutput()
	if err == nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "BROKEN by") || strings.HasPrefix(line, "panic:") {
			return line
		}
	}
	t.Fatalf("the simulator ended with %v and broke no promise:\n%s", err, out)
	return ""
}

// build builds the simulator with the mutant laid over the checkout.
func build(t *testing.T, file string, m Mutant) string {
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed, ok := m.Apply(string(source))
	if !ok {
		t.Fatalf("it does not apply to %s any more: the mutant must be mended", m.File)
	}
	dir := t.TempDir()
	mutated, overlay, binary := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim")
	laid, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mutated, []byte(changed), 0o600); err != nil {
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
