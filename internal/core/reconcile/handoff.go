package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// What a planned switch does before the role moves, while the old primary P
// still has it (phase handoff). Everything that can be done while P takes
// writes is done then: clients wait only from the moment at which P turns
// read-only.

// handOver is P's part: once the other replicas follow the candidate, drain,
// turn read-only, say what the final position is. The gate and the addresses
// stay until the candidate serves.
func handOver(in Input, plan *Plan) {
	r := in.Record
	if d := in.Own.Drained; d != nil && d.Epoch == r.Epoch {
		plan.Waits = fmt.Sprintf("%s has to apply %s", r.Candidate, d.At)
		return
	}
	// It is worth a wait, and no more than that: who has not moved by then is
	// moved once the candidate serves. A drain that has begun goes on.
	if until := in.PhaseAt.Add(min(in.Settings.Lease, in.Settings.Handoff/4)); in.Now < until && !in.Own.Server.ReadOnly {
		if names := notMoved(in); len(names) > 0 {
			plan.Waits = fmt.Sprintf("%s move to %s first", strings.Join(names, ", "), r.Candidate)
			plan.wake(until)
			return
		}
	}
	plan.add(LaneServer, Step{Kind: Drain, Epoch: r.Epoch})
}

// notMoved are the replicas of this primary that are to follow the candidate
// before it takes over, and do not receive from it yet.
func notMoved(in Input) []string {
	var names []string
	for _, n := range in.Settings.DataNodes() {
		f, known := in.Peers[n]
		if n == in.Self || !known || !movesAhead(in, n, f) {
			continue
		}
		if rep := f.Server.Replica; rep.Source != in.Record.Candidate || !rep.Receiver {
			names = append(names, string(n))
		}
	}
	return names
}

// movesAhead reports whether n, of which f is known, is to follow the candidate
// during the handoff. The candidate's log has what n still lacks of the old
// primary, and n acknowledges to the new one from its first commit on.
//
// It must not cost an acknowledgement that commits wait for now: with k = 1 the
// candidate's is enough, if it is in the ack set and does acknowledge. An election
// in this reign needs as many promises as before, so what it finds is no less.
func movesAhead(in Input, n cluster.NodeName, f cluster.Fact) bool {
	r := in.Record
	q := r.Acks()
	if n == r.Candidate || r.Candidate == "" || f.Server.State != cluster.ServerUp || f.Held != "" || f.Mode == cluster.Observe {
		return false
	}
	if c := in.peer(r.Candidate).Server.Replica; q.K > 1 || slices.Contains(q.Members, n) && !(slices.Contains(q.Members, r.Candidate) && c.SemiSync && c.Receiver) {
		return false
	}
	if !f.Server.OwnLost(r.Required.Union(in.peer(r.Primary).Server.Held())).IsZero() {
		// It once wrote what it has lost, gets that back only from whom it
		// acknowledges to, and is doing so: moved, it might skip it for ever.
		return false
	}
	return f.Server.Replica.Source == r.Primary || f.Server.Replica.Source == r.Candidate
}

// handoffSecondary is the part of the other nodes. The candidate applies P's
// final position and stops receiving, so that it has nothing left to stop once
// the role is its own; the others move to it.
func handoffSecondary(in Input, plan *Plan) {
	r := in.Record
	if in.Self != r.Candidate {
		moveAhead(in, plan)
		return
	}
	probeEarly(in, plan)
	p, srv := in.Peers[r.Primary], in.Own.Server
	if p.Drained == nil || p.Drained.Epoch != r.Epoch {
		ackAgain(in, plan) // commits that wait keep the old primary from turning read-only
		return
	}
	if !srv.Executed.Contains(p.Drained.At) {
		plan.add(LaneServer, Step{Kind: Apply, Epoch: r.Epoch, Position: p.Drained.At})
		return
	}
	if srv.Replica.Started {
		plan.add(LaneServer, Step{Kind: StopReplication, Node: r.Primary})
	}
}

// moveAhead makes this replica follow the candidate: stop receiving, apply what
// was received (changing the source throws the rest away), and wait until the
// candidate has all of that: a source refuses a replica that is ahead of it.
func moveAhead(in Input, plan *Plan) {
	r, srv := in.Record, in.Own.Server
	if !movesAhead(in, in.Self, in.Own) || len(in.Host.Blocked) > 0 {
		return
	}
	rep := srv.Replica
	switch {
	case rep.Source == r.Candidate && rep.Started:
	case rep.Started:
		plan.add(LaneServer, Step{Kind: StopReplication})
	case !srv.Executed.Contains(rep.Received):
		plan.add(LaneServer, Step{Kind: Apply, Epoch: r.Epoch, Position: rep.Received})
	case !in.Peers[r.Candidate].Server.Executed.Contains(srv.Executed):
		plan.Waits = fmt.Sprintf("%s has not applied %s yet", r.Candidate, srv.Executed.Subtract(in.Peers[r.Candidate].Server.Executed))
	default:
		plan.add(LaneServer, Step{Kind: Follow, Epoch: r.Epoch, Node: r.Candidate, On: Acknowledges(r, in.Settings, in.Self)})
	}
}
