// Package reconcile answers what this host has to do next, given the record.
//
// Next compares the record with what the host is doing and returns the steps
// whose time has come, as data; somebody else performs them and asks again.
// It is level-triggered: an agent that starts in the middle of a switch gets
// the steps that are still missing. The rule that must not be broken: no step
// that opens this host to writes is returned unless the lease of the record's
// epoch is held at that instant. design.md, sections 5, 6 and 9.
package reconcile

import (
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/lease"
)

// Kind names a step.
type Kind string

// The steps on the gate and its neighbours in the firewall.
const (
	GateClose    Kind = "gate-close"
	GateReadOnly Kind = "gate-read-only" // let clients read: the server is verifiably read-only
	GateLease    Kind = "gate"           // let clients in until the lease ends
	Fence        Kind = "fence"          // everything that stops clients from writing here, in order
	Cut          Kind = "cut-replica"    // stop Nodes from replicating from here
	Uncut        Kind = "uncut-replica"
)

// The steps on the cluster's addresses.
const (
	ProbeAddresses Kind = "probe-addresses" // does a living owner answer?
	BindAddresses  Kind = "address"         // bind and announce
	Mute           Kind = "mute"            // do not answer ARP for the addresses any more
	Release        Kind = "release"         // reset the clients that are left, drop the addresses
	VerifyPaths    Kind = "verify"          // do the endpoints lead here, seen from outside?
)

// The steps on the database server.
const (
	StartServer     Kind = "start-server"
	Promise         Kind = "promise"      // block the path to the source, stop receiving, read the position
	Follow          Kind = "follow"       // replicate from Node
	Apply           Kind = "apply"        // wait until Position is applied
	BackFill        Kind = "back-fill"    // fetch what the log of Node's dead server holds
	Promote         Kind = "promote"      // forget the source, prepare to be one
	SemiSource      Kind = "semi-source"  // make commits wait for an acknowledgement, or not
	SemiReplica     Kind = "semi-replica" // acknowledge, or not
	SetWritable     Kind = "writable"
	SetReadOnly     Kind = "read-only"
	Drain           Kind = "drain" // wait for open transactions, turn read-only, read the final position
	WriteMarker     Kind = "marker"
	CarryEvents     Kind = "events" // enable the scheduled events that the promotion left disabled
	ReleaseBlocked  Kind = "unblock"
	StopReplication Kind = "stop-replication" // stop receiving; the path to Node, if named, is blocked first
	AckAgain        Kind = "ack-again"        // say once more that everything has been received
	Rewind          Kind = "rewind"           // undo what only this server has
	Reclone         Kind = "reclone"          // take a copy of Node's data in place of the own
)

// Lane is a sequence in which one step runs at a time; lanes run beside each
// other.
type Lane string

// The lanes.
const (
	LaneGate    Lane = "gate"
	LaneAddress Lane = "address"
	LaneServer  Lane = "server"
	LaneMarker  Lane = "marker" // its step waits for an acknowledgement
	LaneVerify  Lane = "verify"
)

// Step is one thing to do on this host. The zero values of the fields that a
// kind does not use are ignored.
type Step struct {
	Kind     Kind
	Lane     Lane
	Epoch    cluster.Epoch
	Node     cluster.NodeName   // Follow: the source
	Nodes    []cluster.NodeName // Cut, Uncut
	Position gtid.Set           // Apply: what must be applied
	On       bool               // SemiSource, SemiReplica; Follow: acknowledge; SetWritable: skip numbers first
	Urgent   bool               // whatever runs in the server lane is abandoned for it
	Asked    string             // Rewind, Reclone: the request
	Why      string             // BackFill: why it cannot be had; empty: it is to be tried
}

// Key identifies a step: a running step whose key is still wanted goes on.
func (s Step) Key() string {
	return fmt.Sprintf("%s/%d/%s/%v/%s/%t/%s", s.Kind, s.Epoch, s.Node, s.Nodes, s.Position, s.On, s.Asked)
}

func (s Step) String() string {
	text := string(s.Kind)
	if s.Node != "" {
		text += " " + string(s.Node)
	}
	for _, n := range s.Nodes {
		text += " " + string(n)
	}
	if !s.Position.IsZero() {
		text += " " + s.Position.String()
	}
	switch {
	case s.On && s.Kind == SetWritable:
		text += ", skipping numbers"
	case s.On:
		text += " on"
	case s.Kind == SemiSource || s.Kind == SemiReplica:
		text += " off"
	}
	return text
}

// GateMode says for whom the gate is open.
type GateMode string

// The modes of the gate.
const (
	GateMissing    GateMode = "missing" // no gate: nothing is held back
	GateClosed     GateMode = "closed"
	GateOpenRead   GateMode = "read-only" // open without a time limit: the server is read-only
	GateOpenLeased GateMode = "leased"    // open until the lease ends
)

// Host is what the agent sees of its own host, besides its server.
type Host struct {
	Gate GateMode
	// Unextended says that the gate was found open for a lease that another
	// agent held: nobody extends it.
	Unextended bool
	Cut        []cluster.NodeName // whose replication from here is cut
	Blocked    []cluster.NodeName // to whose server this host's path is blocked
	Addresses  int                // how many addresses the cluster has
	Bound      int                // how many of them are bound here
	Muted      bool
	Startable  bool // the configuration says how to start the server
	NoCut      bool // this host has no firewall: it cannot cut anybody
	// Unfinished says that the server's data was being replaced and what is
	// missing; empty: it is whole.
	Unfinished string
	// Rewinding says the same of a rewind that was begun.
	Rewinding string
	// DiskUnfit says why no server is to be started on the disk of its data;
	// empty: one may.
	DiskUnfit string
	// Done are the epochs for which one-time steps have succeeded.
	Done map[Kind]cluster.Epoch
}

// Input is everything that the steps of one host depend on.
type Input struct {
	Self     cluster.NodeName
	Settings cluster.Settings
	Record   cluster.Record
	Rev      cluster.Revision
	PhaseAt  cluster.Instant // when this node first saw the present epoch and phase
	Own      cluster.Fact    // as it would be published now
	Host     Host
	Lease    lease.Held
	Pledge   lease.Pledge // to take no part in a newer reign yet
	Peers    map[cluster.NodeName]cluster.Fact
	// AckSilent are members of the ack set that have not acknowledged for
	// longer than the limit.
	AckSilent []cluster.NodeName
	// Running are the steps under way.
	Running []Step
	// Leaving says that this agent is being stopped: it gives up the role and
	// takes part in no election.
	Leaving bool
	Now     cluster.Instant
}

// Plan is what the host is to do now.
type Plan struct {
	// Lease is the epoch whose lease is to be taken and renewed; 0: none.
	Lease cluster.Epoch
	Steps []Step
	// Waits says in words what the host waits for, if it does.
	Waits string
	// WakeAt is when to look again although nothing changed; 0: no need.
	WakeAt cluster.Instant
}

func (p *Plan) add(lane Lane, s Step) {
	s.Lane = lane
	p.Steps = append(p.Steps, s)
}

func (p *Plan) wake(at cluster.Instant) {
	if p.WakeAt == 0 || at < p.WakeAt {
		p.WakeAt = at
	}
}

// Has reports whether the plan contains a step of that kind.
func (p Plan) Has(kind Kind) bool {
	for _, s := range p.Steps {
		if s.Kind == kind {
			return true
		}
	}
	return false
}
