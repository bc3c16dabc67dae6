package scenario_test

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/scenario"
	"github.com/baton-db/baton/internal/sim"
)

//go:embed scripts
var scripts embed.FS

// all returns the scripts by name.
func all(t testing.TB) map[string]string {
	files, err := fs.Glob(scripts, "scripts/*.scenario")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	texts := map[string]string{}
	for _, f := range files {
		b, err := fs.ReadFile(scripts, f)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(strings.TrimPrefix(f, "scripts/"), ".scenario")] = string(b)
	}
	return texts
}

// seeds are how often each script runs in the simulator, with other delays.
const seeds = 5

// TestEveryScenarioInTheSimulator: what must not be possible is not.
func TestEveryScenarioInTheSimulator(t *testing.T) {
	for name, text := range all(t) {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Runs(scenario.InSimulator) {
				t.Skipf("only in the %s: %s", s.Only, s.Because)
			}
			for seed := range uint64(seeds) {
				if err := scenario.Run(t.Context(), s, sim.NewStage(s.Cluster, seed, false), func(string, ...any) {}); err != nil {
					again := sim.NewStage(s.Cluster, seed, true)
					err := scenario.Run(t.Context(), s, again, t.Logf)
					trace := strings.Split(again.Trace(), "\n")
					t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(trace[max(0, len(trace)-60):], "\n"))
				}
			}
		})
	}
}

// TestWhatAScriptSaysMustComeTrue: a scenario that expects what cannot be fails, at
// the line that says so.
func TestWhatAScriptSaysMustComeTrue(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		says   string
	}{
		"nobody fails, and another primary is expected": {"expect primary is not old-primary within 2s", "the primary is"},
		"the primary dies, and is expected to stay":     {"at 0s power primary\nkeep primary is old-primary for 10s", "the primary is"},
		"its death is expected to go unnoticed":         {"at 0s power primary\nfinally outage below 10ms", "the longest outage was"},
		"clients are expected to write without one":     {"at 0s power primary\nthen crash replica\nthen crash other-replica\nexpect clients write within 5s", "no client was answered"},
		"another reason is expected":                    {"at 0s power primary\nexpect trace switchover-requested within 5s", "switchover-requested is missing"},
		"a replica that is gone is expected to follow":  {"at 0s power replica\nexpect replica follows within 3s", "does not follow"},
		"a request is expected to be refused":           {"at 0s switchover replica\nexpect refused within 3s", "nothing was refused"},
		"an address is expected where it is not":        {"expect address at replica within 1s", "have the address"},
		"a primary is expected to take no writes":       {"expect primary is read-only within 1s", "takes writes"},
		"a phase is expected that does not come":        {"expect phase is fencing within 1s", "the phase is steady"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Parse("complaint: none\n" + tt.script)
			if err != nil {
				t.Fatal(err)
			}
			err = scenario.Run(t.Context(), s, sim.NewStage(s.Cluster, 1, false), t.Logf)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
}

// TestEveryComplaintIsAScenario: those of DBAs about other tools.
func TestEveryComplaintIsAScenario(t *testing.T) {
	want := []string{
		"lagging-replica", "old-primary-writable", "both-writable-after-partition", "acknowledged-writes-lost", "no-failover-no-explanation",
		"failover-hangs", "second-failure-ignored", "manager-dies-with-primary", "host-death-seen-late", "agent-death-is-no-database-death",
		"needless-failover-backup", "needless-failover-load", "needless-failover-blip", "store-outage", "old-primary-cannot-rejoin",
		"semi-sync-stall-blocks-demotion", "switchover-leaves-read-only", "transactions-left-behind", "replicas-lost",
		"address-on-two-hosts", "stale-arp",
	}
	have := all(t)
	for _, w := range want {
		if _, ok := have[w]; !ok {
			t.Errorf("%s is missing", w)
		}
	}
}

// TestWhatIsWrongInAScript: the line, what is wrong, and what would be right.
func TestWhatIsWrongInAScript(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		line   int
		says   []string
	}{
		"it says nothing":                 {"", 1, []string{"what it is about", "complaint:"}},
		"it expects nothing":              {"complaint: x\nat 1s heal", 2, []string{"expects nothing", "finally"}},
		"an unknown word":                 {"complaint: x\nafter 1s heal", 2, []string{`begins with "after"`}},
		"an unknown action":               {"complaint: x\nat 1s explode primary", 2, []string{"what happens", "crash"}},
		"an action without a node":        {"complaint: x\nat 1s crash", 2, []string{"where", "crash primary"}},
		"too much behind an action":       {"complaint: x\nat 1s heal primary", 2, []string{"too much"}},
		"an unknown node":                 {"complaint: x\nat 1s crash db7", 2, []string{"db7", "old-primary"}},
		"a node that it has not":          {"complaint: x\nat 1s power witness", 2, []string{"has no witness", "cluster:"}},
		"a server that it has not":        {"complaint: x\ncluster: 2 nodes and a witness\nat 1s crash witness", 3, []string{"no server"}},
		"a time that is none":             {"complaint: x\nat soon heal", 2, []string{`"soon"`, "300ms"}},
		"times out of order":              {"complaint: x\nat 2s heal\nat 1s heal", 3, []string{"order"}},
		"no limit":                        {"complaint: x\nexpect all follow", 2, []string{"within how long", "within 5s"}},
		"an unknown expectation":          {"complaint: x\nexpect luck within 5s", 2, []string{"what is expected", "clients write"}},
		"a final thing before the end":    {"complaint: x\nexpect lost 0 within 5s", 2, []string{"finally lost 0"}},
		"a reason that is none":           {"complaint: x\nexpect trace a b within 5s", 2, []string{`"a b"`, "docs/failures.md"}},
		"an unknown phase":                {"complaint: x\nexpect phase is panic within 5s", 2, []string{"panic", "electing"}},
		"an unknown cluster":              {"complaint: x\ncluster: 4 nodes\n", 2, []string{"4 nodes", "5 nodes"}},
		"a lab that cannot be built":      {"complaint: x\ncluster: 5 nodes\nfinally lost 0", 3, []string{"labs are not built", "runs in: simulator"}},
		"an unknown world":                {"complaint: x\nruns in: heaven", 2, []string{"heaven", "both"}},
		"one world, and not why":          {"complaint: x\nruns in: lab\nfinally lost 0", 3, []string{"does not say why", "because:"}},
		"an unknown header":               {"complaint: x\nauthor: me", 2, []string{`"author"`}},
		"more than one thing is expected": {"complaint: x\nexpect primary is replica old-primary within 5s", 2, []string{"too much"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scenario.Parse(tt.script)
			if err == nil {
				t.Fatal("it was taken")
			}
			wrong, ok := err.(*scenario.SyntaxError)
			if !ok || wrong.Line != tt.line {
				t.Errorf("%v: want it at line %d", err, tt.line)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// FuzzParse: no text does any harm, and a script that was taken says for each line
// either what happens or what is expected.
func FuzzParse(f *testing.F) {
	for _, text := range all(f) {
		f.Add(text)
	}
	f.Add("complaint: x\nexpect trace , within 1s\nat -1s heal\nkeep lost -1 for 9999h\nfinally primary is")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scenario.Parse(text)
		if err != nil {
			if _, ok := err.(*scenario.SyntaxError); !ok {
				t.Fatalf("%v is no SyntaxError", err)
			}
			return
		}
		if s.Complaint == "" || len(s.Lines) == 0 {
			t.Fatalf("taken: %+v", s)
		}
		for _, l := range s.Lines {
			if (l.Action == "") != (l.Mode != "") || (l.Check.Kind == "") != (l.Mode == "") || l.For < 0 || !slices.Contains([]bool{l.At == -1, l.At >= 0}, true) {
				t.Fatalf("line %d says neither or both: %+v", l.Number, l)
			}
		}
	})
}
