package reconcile

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// primary: the record names this host. It gets there in the order: hold what
// the election was decided on, be nobody's replica, hold the lease, open the
// gate for as long as the lease lasts, take writes, lead the clients here.
func primary(in Input, plan *Plan) {
	r, srv := in.Record, in.Own.Server
	switch {
	case in.Leaving:
		plan.Waits = "the agent is being stopped"
		fenceUnlessDone(in, plan, r.Epoch)
		return
	case in.Lease.Lost(r.Epoch, in.Now):
		plan.Waits = "the lease has run out"
		fenceUnlessDone(in, plan, r.Epoch)
		return
	case srv.State == cluster.ServerStopped, srv.State == cluster.ServerExiting:
		plan.Waits = "the server is gone"
		fenceUnlessDone(in, plan, r.Epoch)
		return
	case otherLife(in):
		plan.Waits = "the server has restarted: its replicas may have what it lost"
		fenceUnlessDone(in, plan, r.Epoch)
		return
	case srv.State == cluster.ServerUnknown, srv.State == cluster.ServerStarting:
		plan.Waits = "the server does not answer yet"
		if r.Phase != cluster.PhasePromoting {
			plan.Lease = r.Epoch
		}
		return
	}
	// At once, beside everything else: they must be cut before commits wait.
	if cut := strangers(in); len(cut) > 0 && r.Phase != cluster.PhaseHandoff {
		plan.add(LaneGate, Step{Kind: Cut, Nodes: cut})
	}
	if r.Planned {
		// It holds everything that its election was decided on, and the one before
		// it is read-only: taking the lease beside the preparation saves a round
		// trip. A candidate that may still turn out not to hold it all takes the
		// lease last, so that nobody has to wait for its end.
		plan.Lease = r.Epoch
	}
	if !prepared(in, plan) {
		return
	}
	plan.Lease = r.Epoch
	if r.Phase == cluster.PhaseHandoff {
		handOver(in, plan)
		return
	}
	serve(in, plan)
	keepAckSet(in, plan)
}

// otherLife reports that the server is another one than the one that the reign
// began with. A server that was killed may lack what its replicas have received:
// the reign ends, and the election counts what all of them have; nothing goes on
// under the numbers of before (skipNumbers). So it does in promoting: what was
// acknowledged there, before the marker was, Required says nothing of.
func otherLife(in Input) bool {
	q, srv := in.Record.Acks(), in.Own.Server
	return srv.State == cluster.ServerUp && q.Primary == in.Self && q.Start != "" && srv.Start != "" && srv.Start != q.Start
}

// prepared brings a candidate's data up to what its election was decided on and
// makes it nobody's replica. It reports whether that is done.
func prepared(in Input, plan *Plan) bool {
	r, srv := in.Record, in.Own.Server
	if r.Phase != cluster.PhasePromoting {
		return true
	}
	wait := CommitsWait(r, in.Settings)
	if in.Host.Bound < in.Host.Addresses && !probed(in) {
		// Most often it is under way since the election, and goes on.
		plan.add(LaneAddress, Step{Kind: ProbeAddresses, Epoch: r.Epoch})
	}
	switch {
	case !srv.Executed.Contains(r.Required) && !srv.Held().Contains(r.Required):
		if r.Source == "" {
			plan.Waits = fmt.Sprintf("it lacks %s, and nobody is named to fetch it from", r.Required.Subtract(srv.Held()))
			return false
		}
		plan.Waits = fmt.Sprintf("it fetches %s from %s", r.Required.Subtract(srv.Held()), r.Source)
		if srv.Replica.Source != r.Source || !srv.Replica.Started || slices.Contains(in.Host.Blocked, r.Source) {
			if !srv.Executed.Contains(srv.Replica.Received) {
				plan.add(LaneServer, Step{Kind: Apply, Epoch: r.Epoch, Position: srv.Replica.Received})
				return false
			}
			// It skips what it once wrote and has lost, unless it acknowledges: what
			// Required merely covers may be of that kind. The source's commits wait for
			// nobody now, so acknowledging harms nothing.
			own := !srv.OwnLost(r.Required).IsZero() || !r.Required.Named().Equal(r.Required)
			plan.add(LaneServer, Step{Kind: Follow, Epoch: r.Epoch, Node: r.Source, On: own})
			return false
		}
		plan.add(LaneServer, Step{Kind: Apply, Epoch: r.Epoch, Position: r.Required})
		return false
	case !srv.Executed.Contains(srv.Held()):
		plan.Waits = fmt.Sprintf("it applies %s", srv.Held().Subtract(srv.Executed))
		plan.add(LaneServer, Step{Kind: Apply, Epoch: r.Epoch, Position: srv.Held()})
		backFill(in, plan) // under way, it is what brings more to be applied: it goes on
		return false
	case fills(in):
		plan.Waits = fmt.Sprintf("it fetches what the binary log of %s holds", r.Before())
		backFill(in, plan)
		return false
	case follows(srv), srv.SemiSrc.Enabled != wait:
		// One step over one connection: a server that restarts in between
		// comes back as it was configured, and the step begins again.
		plan.add(LaneServer, Step{Kind: Promote, Epoch: r.Epoch, On: wait})
		if r.Planned && srv.Replica.Started {
			// One that is under way since the handoff goes on: cancelled, it would
			// take the session with it.
			plan.add(LaneServer, Step{Kind: StopReplication, Node: r.Previous})
		}
		return false
	}
	return true
}

// probed reports whether it was asked for an owner of the addresses since this election
// began, or since a planned switch did, which takes two epochs.
func probed(in Input) bool {
	done := in.Host.Done[ProbeAddresses]
	return done == in.Record.Epoch || in.Record.Planned && done+1 == in.Record.Epoch
}

// serve opens the prepared primary to clients and leads them to it.
func serve(in Input, plan *Plan) {
	r, srv := in.Record, in.Own.Server
	if follows(srv) {
		plan.Waits = "the server was made a replica by hand: it must be detached by hand (RESET REPLICA ALL)"
	}
	want, strange := CommitsWait(r, in.Settings), len(strangers(in)) > 0
	if (srv.SemiSrc.Enabled != want || srv.SemiSrc.Weak != "") && !(want && strange) {
		plan.add(LaneServer, Step{Kind: SemiSource, On: want})
	}
	if !in.Lease.Valid(r.Epoch, in.Now) {
		plan.Waits = "it takes the lease"
		return
	}
	if in.Host.Gate != GateOpenLeased || in.Host.Unextended {
		// Timed before writable, never the other way round.
		plan.add(LaneGate, Step{Kind: GateLease, Epoch: r.Epoch})
		return
	}
	if srv.ReadOnly && strange {
		plan.Waits = "it cuts off those who might acknowledge and are not in the ack set"
		return
	}
	if srv.ReadOnly && want && !srv.SemiSrc.Waits() {
		plan.Waits = "its commits are to wait for acknowledgements first"
		return
	}
	if srv.ReadOnly {
		plan.add(LaneServer, Step{Kind: SetWritable, Epoch: r.Epoch, On: skipNumbers(in)})
		return
	}
	switch {
	case in.Host.Bound < in.Host.Addresses && r.Phase == cluster.PhasePromoting && !probed(in):
		plan.Waits = "it asks whether somebody has the addresses" // a second question would take longer
	case in.Host.Bound < in.Host.Addresses || in.Host.Muted:
		plan.add(LaneAddress, Step{Kind: BindAddresses, Epoch: r.Epoch})
	case in.Own.Endpoints != r.Epoch:
		plan.add(LaneVerify, Step{Kind: VerifyPaths, Epoch: r.Epoch})
	}
	if len(in.Host.Blocked) > 0 {
		plan.add(LaneGate, Step{Kind: ReleaseBlocked})
	}
	if in.Own.Marked != r.Epoch {
		if srv.SemiSrc.Enabled != want || want && !srv.SemiSrc.Waits() {
			return // a marker that waits for nobody proves nothing
		}
		plan.add(LaneMarker, Step{Kind: WriteMarker, Epoch: r.Epoch})
	} else if in.Host.Done[CarryEvents] != r.Epoch {
		plan.add(LaneServer, Step{Kind: CarryEvents, Epoch: r.Epoch})
	}
}

// skipNumbers reports that this server may have lost transactions that another one
// has received. It would give their numbers to others, and that one, when it comes
// back, would be taken for a replica that is merely behind. So before it takes
// writes its numbers go on far beyond those, by a transaction that is the marker of
// its reign as well: it is prepared, so whoever has that has all that it began with.
//
// Only a server that has restarted loses what it wrote, and where commits wait for
// acknowledgements it shows: it was primary of a reign that this election rests on,
// in another life. Elsewhere, and after an election that a person forced, nobody
// knows.
func skipNumbers(in Input) bool {
	r := in.Record
	if !CommitsWait(r, in.Settings) || r.Forced == r.Epoch {
		return true
	}
	return slices.ContainsFunc(r.Quorums, func(q cluster.AckQuorum) bool {
		return q.Primary == in.Self && q.Epoch < r.Epoch && q.Start != "" && q.Start != in.Own.Server.Start
	})
}

// strangers are the nodes whose server might acknowledge here although the record
// does not count on them: neither in the ack set nor about to be, and they have
// not said in this reign that they do not acknowledge. Their agent may be dead
// while their server goes on as it was last told. A server counts whoever
// acknowledges, so they are cut off until they say so.
func strangers(in Input) []cluster.NodeName {
	if in.Host.NoCut || !CommitsWait(in.Record, in.Settings) {
		return nil
	}
	var names []cluster.NodeName
	for _, n := range in.Settings.DataNodes() {
		f := in.Peers[n]
		innocent := f.Epoch == in.Record.Epoch && !f.Server.Replica.SemiSync
		// One that is being let in is taken out of AckCut first.
		cut := slices.Contains(in.Host.Cut, n) && slices.Contains(in.Own.AckCut, n)
		if n != in.Self && !innocent && !cut && !Acknowledges(in.Record, in.Settings, n) {
			names = append(names, n)
		}
	}
	return names
}

// keepAckSet cuts off members that fell silent, so that they can be taken out
// of the set, and lets nodes replicate again that have left it.
func keepAckSet(in Input, plan *Plan) {
	r := in.Record
	if in.Settings.Durability != cluster.Lossless || Serving(in) == 0 {
		return
	}
	var cut []cluster.NodeName
	for _, n := range in.AckSilent {
		// A cut that another agent made, or that was abandoned half-way, is made
		// again: what counts is the position that is read after it.
		if !slices.Contains(in.Host.Cut, n) || !slices.Contains(in.Own.AckCut, n) || in.Own.CutAt.IsZero() {
			cut = append(cut, n)
		}
	}
	members := r.Acks().Members
	lastOnes := in.Settings.Alone == cluster.AloneWait && !slices.ContainsFunc(members, func(m cluster.NodeName) bool {
		return !slices.Contains(cut, m) && !slices.Contains(in.Host.Cut, m)
	})
	if lastOnes {
		// The last ones stay: commits wait for them.
		cut = slices.DeleteFunc(cut, func(n cluster.NodeName) bool { return slices.Contains(members, n) })
	}
	if len(cut) > 0 {
		plan.add(LaneGate, Step{Kind: Cut, Nodes: cut})
		return
	}
	var uncut []cluster.NodeName
	for _, n := range in.Host.Cut {
		if slices.Contains(members, n) {
			if lastOnes && !leaving(in) {
				uncut = append(uncut, n) // commits wait for it, whichever of them comes first
			}
			continue
		}
		if r.Joining == n {
			continue
		}
		// It may come back once it says, under this very record, that its
		// acknowledgements are switched off; or while commits wait for none, for
		// then it may acknowledge to get back what it lost.
		f := in.Peers[n]
		silent := !f.Server.Replica.SemiSync || !CommitsWait(r, in.Settings)
		if f.RecordRev == in.Rev && silent && f.Server.State == cluster.ServerUp {
			uncut = append(uncut, n)
		}
	}
	if len(uncut) > 0 {
		plan.add(LaneGate, Step{Kind: Uncut, Nodes: uncut})
	}
}

// leaving reports that the members that were cut off are about to leave the
// record: decide.removeAck goes by the same rule. Until then their gate stays
// shut, for what they acknowledged after the cut nobody else would be asked for.
func leaving(in Input) bool {
	cut := slices.DeleteFunc(slices.Clone(in.Own.AckCut), func(n cluster.NodeName) bool { return !slices.Contains(in.Host.Cut, n) })
	if len(cut) == 0 || in.Own.CutAt.IsZero() {
		return false
	}
	rest, may := in.Record.Acks().Without(cut, in.Own.CutAt, func(n cluster.NodeName) gtid.Set { return in.Peers[n].Server.Held() })
	return may && len(rest) > 0
}

// fenceUnlessDone fences a primary that must not go on, once.
func fenceUnlessDone(in Input, plan *Plan, epoch cluster.Epoch) {
	if in.Own.Fenced < epoch || in.Host.Gate == GateOpenLeased {
		plan.add(LaneGate, Step{Kind: Fence, Epoch: epoch, Urgent: true})
	}
}
