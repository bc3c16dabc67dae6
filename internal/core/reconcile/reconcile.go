package reconcile

import (
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Next returns what the host of in.Self has to do now.
func Next(in Input) Plan {
	var plan Plan
	n, ok := in.Settings.Node(in.Self)
	switch {
	case !ok || n.Role != cluster.Data:
		return plan // a witness has nothing to do on its host
	case in.Rev == 0:
		noRecord(in, &plan)
	case in.Record.Schema > cluster.Schema:
		plan.Waits = "the record was written by a newer version: this host keeps what it holds"
	case in.Pledge.Binds(in.Record.Epoch, in.Now):
		plan.Waits = "this host has promised the primary of an earlier reign, whom the store did not answer, to take no part in this one yet"
		plan.WakeAt = in.Pledge.Until
		readersGate(in, &plan) // what closes is never promised away
	case in.Record.Primary == in.Self:
		primary(in, &plan)
	default:
		secondary(in, &plan)
	}
	return plan
}

// noRecord: nothing is decided yet. A gate that is there already stays shut for
// a server that is not read-only; where none is, an unmanaged server goes on as
// it is until it is adopted.
func noRecord(in Input, plan *Plan) {
	plan.Waits = "there is no record yet"
	switch in.Host.Gate {
	case "", GateMissing:
		return
	case GateOpenLeased:
		// What is left of the lease of the agent before this one: the kernel
		// ends it, unless the record lets this one renew it first.
		return
	}
	readersGate(in, plan)
}

// readersGate keeps the gate of a server that must not take writes.
func readersGate(in Input, plan *Plan) {
	srv := in.Own.Server
	readable := srv.State == cluster.ServerUp && srv.ReadOnly && in.Own.Held == ""
	// A step that an earlier record asked for may make it writable yet, or may
	// have done so since it was read: an agent that stood still comes back to a
	// lease that is over, and to a reading from before. The kernel has shut the
	// gate; it stays so until no such step is on its way.
	settled := in.Own.RecordRev == in.Rev
	switch {
	case readable && !settled:
		plan.Waits = "steps of an earlier record are to end first"
	case readable && in.Host.Gate != GateOpenRead:
		plan.add(LaneGate, Step{Kind: GateReadOnly})
	case !readable && in.Host.Gate != GateClosed:
		plan.add(LaneGate, Step{Kind: GateClose})
	}
}

// Serving is the epoch under which this host serves clients; 0 if it does not.
func Serving(in Input) cluster.Epoch {
	r, srv := in.Record, in.Own.Server
	if r.Primary != in.Self || !in.Lease.Valid(r.Epoch, in.Now) || in.Host.Gate != GateOpenLeased {
		return 0
	}
	if srv.State != cluster.ServerUp || srv.ReadOnly || follows(srv) {
		return 0
	}
	return r.Epoch
}

// follows reports that a server is set up as somebody's replica.
func follows(s cluster.ServerFact) bool { return s.Replica.Source != "" || s.Replica.Foreign != "" }

// CommitsWait reports whether commits on the record's primary must wait for an
// acknowledgement.
func CommitsWait(r cluster.Record, s cluster.Settings) bool {
	if s.Durability != cluster.Lossless {
		return false
	}
	return len(r.Acks().Members) > 0 || r.Joining != "" || s.Alone == cluster.AloneWait
}

// peer is what is known of a node, this one included.
func (in Input) peer(n cluster.NodeName) cluster.Fact {
	if n == in.Self {
		return in.Own
	}
	return in.Peers[n]
}

// Acknowledges reports whether node's acknowledgement counts, or is about to.
func Acknowledges(r cluster.Record, s cluster.Settings, node cluster.NodeName) bool {
	return s.Durability == cluster.Lossless && (r.Joining == node || slices.Contains(r.Acks().Members, node))
}
