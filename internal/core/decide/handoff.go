package decide

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
)

// handoff: the primary drains, the candidate catches up with its final
// position. Whatever goes wrong before the candidate holds it leads back to the
// primary with a new epoch: nothing is lost, nothing was moved.
func handoff(w World, now cluster.Instant) Outcome {
	if out, acted := requests(w, now); acted {
		return out
	}
	r := w.Record
	if f, _ := failure(w, now); f.why != cluster.Nothing {
		return endReign(w, f)
	}
	p, c := w.fact(r.Primary), w.fact(r.Candidate)
	if w.observes(r.Candidate) {
		return rollBack(w, cluster.HandoffAborted, fmt.Sprintf("the agent of %s only observes now (mode: observe)", r.Candidate))
	}
	if p.Drained != nil && p.Drained.Epoch == r.Epoch && c.Server.State == cluster.ServerUp && c.Server.Executed.Contains(p.Drained.At) {
		return takeOver(w, *p.Drained)
	}
	deadline := w.PhaseAt.Add(w.Settings.Handoff)
	switch {
	case !w.alive(r.Candidate, now):
		return rollBack(w, cluster.HandoffAborted, fmt.Sprintf("%s is not to be heard of any more, or its server is %s", r.Candidate, c.Server.State))
	case c.Held != "" || !c.Errant.IsZero():
		return rollBack(w, cluster.HandoffAborted, fmt.Sprintf("%s diverged: %s", r.Candidate, c.Errant))
	case now >= deadline:
		return rollBack(w, cluster.HandoffTimedOut, fmt.Sprintf("not handed over within %s: %s", w.Settings.Handoff, handoffState(p, c, r)))
	}
	return stay(cluster.AwaitingDrain, handoffState(p, c, r)).wake(min(deadline, w.Lease.ExpiresAt(w.Settings)))
}

// handoffState says in words how far a handoff has come.
func handoffState(p, c cluster.Fact, r cluster.Record) string {
	if p.Drained == nil || p.Drained.Epoch != r.Epoch {
		return fmt.Sprintf("%s still drains: %s", r.Primary, p.Progress)
	}
	return fmt.Sprintf("%s drained; %s still has to apply %s", r.Primary, r.Candidate, p.Drained.At.Subtract(c.Server.Executed))
}

// takeOver makes the candidate primary: it holds everything, and the old
// primary is read-only and alive, so addresses move make-before-break.
func takeOver(w World, final cluster.Position) Outcome {
	r := w.Record
	next := r
	next.Epoch++
	next.Phase = cluster.PhasePromoting
	next.Previous, next.Primary, next.Candidate = r.Primary, r.Candidate, ""
	next.Planned = true
	next.Required, next.Source = final.At, ""
	next.Joining = ""
	var members []cluster.NodeName
	for _, m := range append(slices.Clone(r.Acks().Members), r.Primary) {
		if m != r.Candidate && !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	next.Quorums = reign(w, next.Epoch, r.Candidate, members)
	return swap(next, r.Reason, r.Detail).because(cluster.DrainedAndApplied, fmt.Sprintf("%s holds everything that %s had", r.Candidate, r.Primary)).guarded(w)
}

// rollBack gives the role back to the primary of a handoff.
func rollBack(w World, why cluster.Reason, detail string) Outcome {
	r := w.Record
	next := r
	next.Epoch++
	next.Phase = cluster.PhasePromoting
	next.Candidate = ""
	next.Previous = r.Primary
	next.Planned = false
	next.Source = ""
	next.Quorums = reign(w, next.Epoch, r.Primary, r.Acks().Members)
	return swap(next, why, detail).guarded(w)
}

// reign adds the rule of a new reign to those that elections still have to
// satisfy: until its marker is acknowledged, old and new.
func reign(w World, epoch cluster.Epoch, primary cluster.NodeName, members []cluster.NodeName) []cluster.AckQuorum {
	q := cluster.AckQuorum{Epoch: epoch, Primary: primary, Start: w.fact(primary).Server.Start}
	if w.Settings.Durability == cluster.Lossless {
		q.K = w.Settings.Acks
		q.Members = slices.Clone(members)
		slices.Sort(q.Members)
	}
	return append(slices.Clone(w.Record.Quorums), q)
}

// begin returns the record by which the winner of an election begins its reign.
func begin(w World, choice candidate.Choice, now cluster.Instant) cluster.Record {
	next := w.Record
	next.Phase = cluster.PhasePromoting
	next.Primary, next.Candidate = choice.Winner, ""
	next.Planned = false
	next.Required, next.Source = choice.Required, choice.Source
	next.Quorums = reign(w, next.Epoch, choice.Winner, w.acknowledging(choice.Winner, now))
	return next
}

// acknowledging are the nodes that make up the ack set of a reign that begins:
// those that promised, and living members of the set before. Where the old
// primary's own promise decided the election, theirs are still on the way; left
// out, the new set would be empty, and this primary the only one that could be
// elected until they had joined again. Whoever does not come after all falls
// silent and leaves.
func (w World) acknowledging(winner cluster.NodeName, now cluster.Instant) []cluster.NodeName {
	promised, before := w.promised(), w.Record.Acks().Members
	var members []cluster.NodeName
	for _, n := range w.Settings.DataNodes() {
		f := w.fact(n)
		counts := slices.Contains(promised, n) || slices.Contains(before, n) && w.alive(n, now) && !w.observes(n)
		if counts && n != winner && f.Held == "" && f.Errant.IsZero() {
			members = append(members, n)
		}
	}
	return members
}
