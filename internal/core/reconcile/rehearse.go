package reconcile

import (
	"maps"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
)

// rehearsed is more steps than any host ever takes from one record to the next.
const rehearsed = 32

// Rehearse returns the steps that this host would take, in order, until it has
// nothing more to do or has to wait for others, as if each succeeded at once. It
// is for people; after is the host as it would be then.
func Rehearse(in Input) (steps []Step, after Input) {
	in.Host.Done = maps.Clone(in.Host.Done)
	if in.Host.Done == nil {
		in.Host.Done = map[Kind]cluster.Epoch{}
	}
	in.Own.RecordRev = in.Rev // no step of an earlier record is on its way
	taken := map[string]bool{}
	for range rehearsed {
		plan := Next(in)
		moved := false
		if plan.Lease != 0 && !in.Lease.Valid(plan.Lease, in.Now) {
			in.Lease, moved = lease.Held{Epoch: plan.Lease, Until: in.Now.Add(in.Settings.Lease), Latched: in.Lease.Latched}, true
		}
		for _, s := range plan.Steps {
			if taken[s.Key()] {
				continue // it does not lead on: others have to act
			}
			taken[s.Key()] = true
			steps, in, moved = append(steps, s), in.taken(s), true
			break
		}
		if !moved {
			break
		}
	}
	return steps, in
}

// taken is the host after a step.
func (in Input) taken(s Step) Input {
	srv, host := &in.Own.Server, &in.Host
	switch s.Kind {
	case GateClose:
		host.Gate = GateClosed
	case GateReadOnly:
		host.Gate = GateOpenRead
	case GateLease:
		host.Gate, host.Unextended = GateOpenLeased, false
	case Fence:
		host.Gate, host.Bound, host.Muted = GateClosed, 0, false
		in.Own.Fenced, srv.ReadOnly, in.Lease = max(in.Own.Fenced, s.Epoch), true, in.Lease.Latch(s.Epoch)
	case Cut:
		host.Cut = append(slices.Clone(host.Cut), s.Nodes...)
		in.Own.AckCut = slices.Clone(host.Cut)
	case Uncut:
		host.Cut = slices.DeleteFunc(slices.Clone(host.Cut), func(n cluster.NodeName) bool { return slices.Contains(s.Nodes, n) })
	case BindAddresses:
		host.Bound, host.Muted = host.Addresses, false
	case Mute:
		host.Muted = true
	case Release:
		host.Bound, host.Muted = 0, false
	case VerifyPaths:
		in.Own.Endpoints = s.Epoch
	case Promise:
		in.Own.Promise = &cluster.Promise{Epoch: s.Epoch, Start: srv.Start, Received: srv.Replica.Received, Executed: srv.Executed, Marker: srv.Marker}
		srv.Replica.Started, srv.Replica.Receiver, srv.Replica.Receiving = false, false, false
	case StopReplication:
		srv.Replica.Started, srv.Replica.Receiver, srv.Replica.Receiving = false, false, false
	case Follow:
		srv.Replica = cluster.ReplicaFact{Source: s.Node, Receiver: true, Started: true, Applier: true, Receiving: true, SemiSync: s.On, Received: srv.Executed}
	case Apply:
		srv.Executed = srv.Executed.Union(s.Position)
	case Promote:
		srv.Replica, srv.SemiSrc.Enabled = cluster.ReplicaFact{}, s.On
	case SemiSource:
		srv.SemiSrc.Enabled = s.On
	case SemiReplica:
		srv.Replica.SemiSync = s.On
	case SetWritable, SetReadOnly:
		srv.ReadOnly = s.Kind == SetReadOnly
	case WriteMarker:
		in.Own.Marked = s.Epoch
	case ReleaseBlocked:
		host.Blocked = nil
	}
	host.Done[s.Kind] = s.Epoch
	return in
}

// InWords says what the step does, to a person who has never seen Baton.
func (s Step) InWords() string {
	words := map[Kind]string{
		GateClose:       "shut the firewall gate: clients are refused",
		GateReadOnly:    "put the firewall gate up, open for as long as the server is read-only",
		GateLease:       "put the firewall gate up, open for as long as this node holds the lease",
		Fence:           "fence: shut the gate, reset the clients, read_only, drop the virtual addresses",
		Cut:             "cut replication to " + names(s.Nodes) + " at the gate",
		Uncut:           "let " + names(s.Nodes) + " replicate again",
		ProbeAddresses:  "ask whether somebody has the virtual addresses",
		BindAddresses:   "bind and announce the virtual addresses",
		Mute:            "answer ARP for the virtual addresses no more",
		Release:         "reset the clients that are left and drop the virtual addresses",
		VerifyPaths:     "see from outside that clients are led here",
		StartServer:     "start the server",
		Promise:         "stop receiving, and promise the other nodes so",
		Follow:          "replicate from " + string(s.Node),
		Apply:           "apply everything that was received",
		BackFill:        "fetch what the binary log of " + string(s.Node) + "'s dead server holds",
		Promote:         "replicate from nobody any more, and be the source",
		SetWritable:     "read_only off",
		SetReadOnly:     "read_only on",
		Drain:           "wait for open transactions, then read_only",
		WriteMarker:     "write a marker row into Baton's own table and see it acknowledged",
		CarryEvents:     "enable the scheduled events that the old primary ran",
		ReleaseBlocked:  "let this host reach the other servers again",
		StopReplication: "stop receiving",
		AckAgain:        "acknowledge again what has been received",
		SemiSource:      "let commits wait for no acknowledgement",
		SemiReplica:     "stop acknowledging (semi-synchronous replica off)",
	}
	switch {
	case s.On && s.Kind == SemiSource:
		return "let commits wait for an acknowledgement (semi-synchronous source on)"
	case s.On && s.Kind == SemiReplica:
		return "acknowledge (semi-synchronous replica on; the receiver restarts)"
	case s.On && s.Kind == Follow:
		return words[Follow] + ", and acknowledge"
	case s.On && s.Kind == Promote:
		return words[Promote] + ", whose commits wait for an acknowledgement (semi-synchronous source on)"
	}
	if w := words[s.Kind]; w != "" {
		return w
	}
	return s.String()
}

func names(nodes []cluster.NodeName) string {
	text := ""
	for i, n := range nodes {
		if i > 0 {
			text += ", "
		}
		text += string(n)
	}
	return text
}
