package reconcile

import (
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// secondary: the record names another host, or none. First make sure that
// nobody can write here, then take part in the election, then follow.
func secondary(in Input, plan *Plan) {
	if handedOver(in) {
		release(in, plan)
		readersGate(in, plan)
		if !rejoin(in, plan) {
			follow(in, plan)
		}
		return
	}
	if open(in) || in.Own.Fenced < owedFence(in) {
		plan.Waits = "it is being fenced"
		plan.add(LaneGate, Step{Kind: Fence, Epoch: endedEpoch(in), Urgent: true})
		return
	}
	release(in, plan)
	readersGate(in, plan)
	if in.Leaving || rejoin(in, plan) {
		return
	}
	switch in.Record.Phase {
	case cluster.PhaseElecting:
		promise(in, plan)
	case cluster.PhaseSteady, cluster.PhasePromoting:
		follow(in, plan)
	case cluster.PhaseHandoff:
		handoffSecondary(in, plan)
	}
}

// endedEpoch is the newest reign that this host surely has no part in.
func endedEpoch(in Input) cluster.Epoch {
	switch in.Record.Phase {
	case cluster.PhaseFencing, cluster.PhaseElecting:
		// This epoch's primary is not chosen yet: it may still be this host.
		return in.Record.Epoch - 1
	}
	return in.Record.Epoch
}

// owedFence is the epoch that this host must have reported as fenced: the one
// that it was primary of, while others wait for it.
func owedFence(in Input) cluster.Epoch {
	r := in.Record
	waited := r.Phase == cluster.PhaseFencing || r.Phase == cluster.PhaseElecting
	if waited && r.Previous == in.Self && r.Epoch > 0 {
		return r.Epoch - 1
	}
	return 0
}

// open reports that clients could write here, or that this host still thinks
// it has a lease.
func open(in Input) bool {
	srv := in.Own.Server
	writable := srv.State == cluster.ServerUp && !srv.ReadOnly
	leased := in.Lease.Valid(in.Lease.Epoch, in.Now)
	return writable || leased || in.Host.Gate == GateOpenLeased || in.Host.Bound > 0 && !in.Host.Muted
}

// handedOver reports that this host is the old primary of a planned switch: it
// drained and is read-only, so it may keep its clients until the new one serves.
func handedOver(in Input) bool {
	r, srv := in.Record, in.Own.Server
	return r.Planned && r.Previous == in.Self && srv.State == cluster.ServerUp && srv.ReadOnly &&
		(r.Phase == cluster.PhasePromoting || r.Phase == cluster.PhaseSteady)
}

// release moves the addresses away make-before-break: mute, wait until the new
// primary has announced them, then reset the clients and drop the addresses. A
// muted address whose gate refuses is better than none: a client that connects
// meanwhile is refused at once, and loses no second to its SYN retransmission.
func release(in Input, plan *Plan) {
	if in.Host.Bound == 0 {
		if in.Host.Muted {
			plan.add(LaneAddress, Step{Kind: Release})
		}
		return
	}
	giveUp := in.PhaseAt.Add(in.Settings.Lease)
	if !in.Host.Muted && in.Now < giveUp {
		plan.add(LaneAddress, Step{Kind: Mute, Epoch: in.Record.Epoch})
		plan.wake(giveUp)
		return
	}
	p := in.Peers[in.Record.Primary]
	taken := in.Record.Primary != "" && p.Serving == in.Record.Epoch && len(p.Addresses) >= in.Host.Addresses
	if taken || in.Now >= giveUp {
		plan.add(LaneAddress, Step{Kind: Release})
		return
	}
	plan.wake(giveUp)
}

// promise takes part in the election, once per epoch and life of the server.
func promise(in Input, plan *Plan) {
	probeEarly(in, plan)
	srv := in.Own.Server
	switch p := in.Own.Promise; {
	case srv.State != cluster.ServerUp:
		plan.Waits = fmt.Sprintf("the server is %s: it cannot promise", srv.State)
		startServer(in, plan)
	case in.Own.Held != "":
		plan.Waits = in.Own.Held
	case p == nil || p.Epoch != in.Record.Epoch || p.Start != srv.Start:
		plan.add(LaneServer, Step{Kind: Promise, Epoch: in.Record.Epoch})
	}
}

// probeEarly asks for an owner of the addresses while it is not decided yet who
// gets them: waiting for the answer takes longer than the promotion.
func probeEarly(in Input, plan *Plan) {
	if in.Host.Bound < in.Host.Addresses && in.Host.Done[ProbeAddresses] != in.Record.Epoch {
		plan.add(LaneAddress, Step{Kind: ProbeAddresses, Epoch: in.Record.Epoch})
	}
}

// follow makes this server a replica of the primary.
func follow(in Input, plan *Plan) {
	r, srv := in.Record, in.Own.Server
	steadyPause := r.Paused != nil && r.Phase == cluster.PhaseSteady
	switch {
	case steadyPause:
		plan.Waits = "paused: replication is left as it is"
		return
	case srv.State != cluster.ServerUp:
		startServer(in, plan)
		return
	case srv.SemiSrc.Enabled:
		plan.add(LaneServer, Step{Kind: SemiSource, On: false})
		return
	case in.Own.Held != "":
		plan.Waits = in.Own.Held
		if srv.Replica.Receiver {
			plan.add(LaneServer, Step{Kind: StopReplication})
		}
		return
	}
	acknowledge := Acknowledges(r, in.Settings, in.Self)
	p := in.Peers[r.Primary].Server
	lost := srv.OwnLost(r.Required.Union(p.Held()))
	blocked := slices.Contains(in.Host.Blocked, r.Primary)
	if s, under := reconnecting(in, acknowledge); under && srv.Replica.Source == r.Primary && !blocked {
		plan.add(LaneServer, s)
		return
	}
	if srv.Replica.Source == r.Primary && srv.Replica.Started && !blocked {
		if len(in.Host.Blocked) > 0 {
			// The block stood until the next source was set. It would keep this
			// node from looking at the others, too.
			plan.add(LaneGate, Step{Kind: ReleaseBlocked})
		}
		if srv.Replica.SemiSync && !lost.IsZero() && !srv.Replica.Receiver && !acknowledge && mayNotAcknowledge(in) {
			// It was cut off before it had everything. The primary lets it in again
			// once it says that it does not acknowledge, and then into the ack set.
			plan.add(LaneServer, Step{Kind: StopReplication})
		} else if srv.Replica.SemiSync && !lost.IsZero() {
			plan.Waits = fmt.Sprintf("it receives %s, which it wrote itself and has lost", lost)
		} else if srv.Replica.SemiSync != acknowledge {
			plan.add(LaneServer, Step{Kind: SemiReplica, On: acknowledge})
		} else if acknowledge {
			ackAgain(in, plan)
		}
		return
	}
	if leftAlone(in) {
		plan.Waits = "somebody works on this node: replication is left as it is"
		return
	}
	switch lacking := heldBeyond(in); {
	case !lacking.IsZero():
		plan.Waits = fmt.Sprintf("%s has not got %s yet", r.Primary, lacking)
	case !acknowledge && r.Required.Union(p.Held()).CoversBeyond(p.Executed):
		// Some of it may be this server's own, and lost here: it would skip that.
		plan.Waits = fmt.Sprintf("%s has not applied everything yet: whether some of it was written here, and lost, is not known", r.Primary)
	case !srv.Executed.Contains(srv.Replica.Received):
		// Changing the source throws received transactions away.
		plan.add(LaneServer, Step{Kind: Apply, Epoch: r.Epoch, Position: srv.Replica.Received})
	case !lost.IsZero() && !acknowledge && mayNotAcknowledge(in):
		if srv.Replica.SemiSync && !srv.Replica.Started {
			plan.add(LaneServer, Step{Kind: SemiReplica, On: false})
		}
		plan.Waits = fmt.Sprintf("it wrote %s itself and has lost it; it gets it back once it is in the ack set", lost)
	default:
		plan.add(LaneServer, Step{Kind: Follow, Epoch: r.Epoch, Node: r.Primary, On: acknowledge || !lost.IsZero()})
	}
}

// leftAlone reports that replication stands still here by the hand of somebody
// who works on this node. What this agent itself has stopped for an election (its
// path is blocked then), or what another primary asks for, is none of theirs.
func leftAlone(in Input) bool {
	srv, p := in.Own.Server, in.Own.Promise
	stoppedByUs := len(in.Host.Blocked) > 0 || in.Host.NoCut && p != nil && p.Epoch == in.Record.Epoch
	return in.Record.Maintained(in.Self) != nil && in.Record.Phase == cluster.PhaseSteady && !stoppedByUs &&
		(srv.Replica.Source == in.Record.Primary || srv.Replica.Source == "")
}

// mayNotAcknowledge reports that an acknowledgement of a node that is not in the
// ack set would count on the primary. It would not where commits wait for
// nobody.
func mayNotAcknowledge(in Input) bool {
	return CommitsWait(in.Record, in.Settings)
}

// ackAgain repeats an acknowledgement that got lost. A replica that received a
// transaction, lost the connection before its acknowledgement arrived, and came
// back by GTID is never asked for it again; the primary would wait for ever.
func ackAgain(in Input, plan *Plan) {
	p := in.Peers[in.Record.Primary]
	asked := cluster.Epoch(p.Server.Reading) // once per news of it
	if p.Server.SemiSrc.Stuck && p.Serving == in.Record.Epoch && in.Own.Server.Held().Contains(p.Server.Executed) && in.Host.Done[AckAgain] != asked {
		plan.add(LaneServer, Step{Kind: AckAgain, Epoch: asked})
	}
}

// reconnecting is the step under way that has the receiver connect anew to the same
// source. Seen from outside replication stands still meanwhile, and whoever had it
// follow again would stop that step half-way, for ever anew.
func reconnecting(in Input, acknowledge bool) (Step, bool) {
	i := slices.IndexFunc(in.Running, func(s Step) bool {
		return s.Kind == SemiReplica && s.On == acknowledge || s.Kind == AckAgain && acknowledge
	})
	if i < 0 {
		return Step{}, false
	}
	return in.Running[i], true
}

// heldBeyond is what this server has and the primary is not known to have.
func heldBeyond(in Input) gtid.Set {
	held := in.Own.Server.Held()
	if in.Record.Required.Contains(held) {
		return gtid.Set{}
	}
	return held.Subtract(in.Record.Required.Union(in.Peers[in.Record.Primary].Server.Held()))
}

// startServer starts a stopped server where the configuration says how, unless
// somebody works on it, or an election could still be decided without it.
func startServer(in Input, plan *Plan) {
	stopped := in.Own.Server.State == cluster.ServerStopped
	if !stopped || !in.Host.Startable || in.Record.Paused != nil || in.Record.Maintained(in.Self) != nil {
		return
	}
	if in.Host.DiskUnfit != "" {
		// It could not do its recovery, and would spoil what that needs.
		plan.Waits = "the server is not started: " + in.Host.DiskUnfit
		return
	}
	if in.Record.Phase != cluster.PhaseSteady {
		at := in.PhaseAt.Add(2 * in.Settings.Lease)
		if gives(in) {
			at = in.PhaseAt.Add(in.Settings.BackFill + 2*in.Settings.Lease)
		}
		if in.Now < at {
			plan.wake(at)
			return
		}
	}
	plan.add(LaneServer, Step{Kind: StartServer})
}
