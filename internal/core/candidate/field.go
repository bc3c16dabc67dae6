package candidate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// field is the replicas of one election, those passed over included.
type field struct {
	election Election
	runners  []*runner // sorted by name
	required gtid.Set
	known    gtid.Set // what the winner will have to apply before it serves
}

// runner is one replica with what was found out about it.
type runner struct {
	Replica
	release release
	holds   gtid.Set // what counts as its own
	source  cluster.NodeName
	lacks   gtid.Set // of what is required

	passed cluster.Reason // empty while it is in the running
	detail string
}

func (r *runner) pass(why cluster.Reason, detail string) { r.passed, r.detail = why, detail }

func newField(e Election) *field {
	f := &field{election: e}
	for _, r := range e.Replicas {
		f.runners = append(f.runners, &runner{Replica: r, release: parseRelease(r.Server.Version), holds: r.holds(e.Planned)})
	}
	slices.SortFunc(f.runners, func(a, b *runner) int { return cmp.Compare(a.Node.Name, b.Node.Name) })
	for _, r := range f.runners {
		r.disqualify(e.Planned)
	}
	if e.Planned {
		for _, r := range f.runners {
			f.known = f.known.Union(r.holds)
		}
	} else {
		f.passOldEpochs()
		f.required = f.require()
		f.known = f.required
	}
	for _, r := range f.runners {
		r.lacks = f.required.Subtract(r.holds)
	}
	return f
}

func (f *field) running() []*runner {
	return slices.DeleteFunc(slices.Clone(f.runners), func(r *runner) bool { return r.passed != "" })
}

// disqualify passes over a node that must not be chosen whatever the others
// are. What can be changed least comes first, as it tells a person most.
func (r *runner) disqualify(planned bool) {
	s := r.Server
	switch {
	case r.Node.Never:
		r.pass(cluster.PassedNever, "the configuration says never")
	case r.Observes:
		r.pass(cluster.PassedObserving, "its agent only observes (mode: observe) and would not promote it")
	case r.Maintenance != "":
		r.pass(cluster.PassedMaintenance, r.Maintenance)
	case !planned && r.Promise == nil:
		r.pass(cluster.PassedNoPromise, "it has not promised to receive nothing more")
	case !r.Errant.IsZero():
		r.pass(cluster.PassedDiverged, "it alone has "+r.Errant.String())
	case r.Held != "":
		r.pass(cluster.PassedHeld, r.Held)
	case r.Unheard:
		r.pass(cluster.PassedServerDown, "its agent has not been heard of lately")
	case !r.up():
		r.pass(cluster.PassedServerDown, "its server is "+cmp.Or(string(s.State), "unknown"))
	case !planned && r.restarted():
		r.pass(cluster.PassedRestarted, "its server restarted after the promise, and it has not promised anew")
	case !s.BinLog:
		r.pass(cluster.PassedNoBinLog, "it writes no binary log")
	case !s.LogUpdates:
		r.pass(cluster.PassedNoBinLog, "it does not log what it replicates")
	}
}

// passUnwanted passes over all but the node that a person asked for. That node
// may have failed before: the person knows.
func (f *field) passUnwanted(wanted cluster.NodeName) {
	for _, r := range f.running() {
		if r.Node.Name != wanted {
			r.pass(cluster.PassedNotAsked, fmt.Sprintf("%s was asked for", wanted))
		} else if why := f.tooNew(r); why != "" && !f.election.Force {
			r.pass(cluster.PassedNewerServer, why)
		}
	}
}

// passUnable passes over those that neither hold everything required nor can
// fetch it. If a person accepts the loss and nobody can, it lowers what is
// required to what one of them holds.
func (f *field) passUnable() {
	able := func(r *runner) bool { return r.lacks.IsZero() || r.source != "" }
	for _, r := range f.running() {
		r.source = f.sourceFor(r)
	}
	if f.election.Force && !slices.ContainsFunc(f.running(), able) {
		f.passLesser()
		return
	}
	for _, r := range f.running() {
		if !able(r) {
			r.pass(cluster.PassedIncomplete, fmt.Sprintf("it lacks %s, and nobody who has it could give it", r.lacks))
		}
	}
}

// passLesser passes over those whose transactions another has all and more.
func (f *field) passLesser() {
	all := f.running()
	for _, r := range all {
		better := slices.IndexFunc(all, func(o *runner) bool { return o.passed == "" && o.holds.Contains(r.holds) && !r.holds.Contains(o.holds) })
		if better >= 0 {
			r.pass(cluster.PassedIncomplete, fmt.Sprintf("%s has all it has, and %s", all[better].Node.Name, all[better].holds.Subtract(r.holds)))
		}
	}
}

// passReluctant passes over those that should serve only if nobody else can.
func (f *field) passReluctant() {
	if f.election.Wanted != "" {
		return
	}
	for _, why := range []func(*runner) (cluster.Reason, string){
		func(r *runner) (cluster.Reason, string) { return cluster.PassedNewerServer, f.tooNew(r) },
		func(r *runner) (cluster.Reason, string) { return cluster.PassedNetwork, r.Network },
		func(r *runner) (cluster.Reason, string) { return cluster.PassedStrained, r.Strain },
		func(r *runner) (cluster.Reason, string) { return cluster.PassedFailed, r.failed() },
		// One that failed may have failed while it fetched: among such ones,
		// those that need nothing of others come first.
		func(r *runner) (cluster.Reason, string) { return cluster.PassedIncomplete, r.failedAndLacks() },
	} {
		left := f.running()
		willing := func(r *runner) bool { _, detail := why(r); return detail == "" }
		if !slices.ContainsFunc(left, willing) {
			continue
		}
		for _, r := range left {
			if reason, detail := why(r); detail != "" {
				r.pass(reason, detail)
			}
		}
	}
}

func (r *runner) failed() string {
	if !r.Failed {
		return ""
	}
	return "it failed already in this switch"
}

func (r *runner) failedAndLacks() string {
	if !r.Failed || r.lacks.IsZero() {
		return ""
	}
	return fmt.Sprintf("it failed already in this switch, and would have to fetch %s", r.lacks)
}

// nobody is the choice if no node can be chosen.
func (f *field) nobody(why cluster.Reason) (Choice, bool) {
	c := Choice{Required: f.required, Decided: why}
	for _, r := range f.runners {
		c.Passed = append(c.Passed, Passed{r.Node.Name, r.passed, r.detail})
		if r.Node.Name == f.election.Wanted && why == cluster.NobodyToPromote {
			c.Decided = r.passed // the refusal of a wish has the reason of the one wished for
		}
	}
	return c, false
}

// winner ranks those that are left.
func (f *field) winner() Choice {
	running := f.running()
	slices.SortFunc(running, func(a, b *runner) int { order, _, _ := f.rank(a, b); return order })
	first := running[0]
	c := Choice{Winner: first.Node.Name, Required: f.required, Decided: cluster.OnlyCandidate}
	if !first.lacks.IsZero() {
		if c.Source = first.source; c.Source == "" {
			c.Required = first.holds // forced: the rest is lost
		}
	}
	switch {
	case f.election.Wanted != "":
		c.Decided = cluster.AskedFor
	case len(running) > 1:
		_, c.Decided, _ = f.rank(first, running[1])
	}
	for _, r := range f.runners {
		if r == first {
			continue
		}
		if r.passed == "" {
			_, r.passed, r.detail = f.rank(first, r)
		}
		c.Passed = append(c.Passed, Passed{r.Node.Name, r.passed, r.detail})
	}
	return c
}

// Summary says in one line why nobody else was chosen: "db2: never; db3: …".
func (c Choice) Summary() string {
	parts := make([]string, len(c.Passed))
	for i, p := range c.Passed {
		parts[i] = fmt.Sprintf("%s: %s (%s)", p.Node, p.Reason, p.Detail)
	}
	return strings.Join(parts, "; ")
}
