package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Summary is what many runs came to.
type Summary struct {
	Runs, Steps, Switches, Promised, Written, Lost, Filled, Recloned, Forced int

	Virtual  time.Duration
	Coverage map[Fault]map[cluster.Phase]int
	Broken   []uint64 // seeds
}

// Add counts one more run.
func (s *Summary) Add(r Result) {
	s.Runs++
	s.Steps += r.Steps
	s.Switches += r.Switches
	s.Promised += r.Promised
	s.Written += r.Written
	s.Lost += r.Lost
	s.Filled += r.Filled
	s.Recloned += r.Recloned
	s.Virtual += r.Virtual
	if r.Forced {
		s.Forced++
	}
	if r.Violation != "" {
		s.Broken = append(s.Broken, r.Seed)
	}
	if s.Coverage == nil {
		s.Coverage = map[Fault]map[cluster.Phase]int{}
	}
	for f, phases := range r.Coverage {
		if s.Coverage[f] == nil {
			s.Coverage[f] = map[cluster.Phase]int{}
		}
		for p, n := range phases {
			s.Coverage[f][p] += n
		}
	}
}

// String is the summary for people. took is the processor time of the runs.
func (s *Summary) String(took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %d steps (%.1f million a minute), %s of virtual time, %d completed switches\n",
		s.Runs, s.Steps, float64(s.Steps)/1e6/max(took.Minutes(), 1e-9), s.Virtual.Round(time.Minute), s.Switches)
	fmt.Fprintf(&b, "%d writes acknowledged, %d of them lost by asynchronous replication, which brought %d transactions over from dead servers; a person provisioned %d nodes anew and forced %d elections; a lease was prolonged %d times without the store\n",
		s.Written, s.Lost, s.Filled, s.Recloned, s.Forced, s.Promised)
	phases := []cluster.Phase{"none", cluster.PhaseSteady, cluster.PhaseHandoff, cluster.PhaseFencing, cluster.PhaseElecting, cluster.PhasePromoting}
	fmt.Fprintf(&b, "%-22s", "fault, by phase")
	for _, p := range phases {
		fmt.Fprintf(&b, "%10s", p)
	}
	b.WriteByte('\n')
	said := map[Fault]bool{}
	for _, f := range append(slices.Clone(faults[:]), ServerStop) {
		if said[f] {
			continue
		}
		said[f] = true
		fmt.Fprintf(&b, "%-22s", f)
		for _, p := range phases {
			fmt.Fprintf(&b, "%10d", s.Coverage[f][p])
		}
		b.WriteByte('\n')
	}
	if len(s.Broken) > 0 {
		fmt.Fprintf(&b, "BROKEN: %d seeds: %d\n", len(s.Broken), s.Broken)
	}
	return b.String()
}

// Story tells how a run came to break a promise, with its last lines.
func Story(r Result, lines int) string {
	again := Run(Options{Seed: r.Seed, Trace: true})
	t := again.Trace[max(0, len(again.Trace)-lines):]
	return fmt.Sprintf("seed %d: %s\n%s\nBROKEN by seed %d: %s\nall of it: go run ./internal/sim/run -seed %d -trace\n",
		r.Seed, again.About, strings.Join(t, "\n"), r.Seed, again.Violation, r.Seed)
}
