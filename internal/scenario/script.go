// Package scenario answers what a short script says is to happen to a cluster,
// and whether what followed is what the script expects.
//
// It knows neither the simulator nor the lab: both are Worlds to it, one in
// virtual time, one in real time. The one rule: a script says the same in
// both, and one that cannot run in one of them says why.
//
// docs/scenarios.md describes the language.
package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Script is one scenario.
type Script struct {
	Complaint string  // what must not be possible, in a DBA's words
	Cluster   Cluster // what it happens to
	// Only is the one world that it runs in, for Because; empty: it runs in all.
	Only    Where
	Because string
	Lines   []Line
}

// Where a script may run.
type Where string

// The worlds.
const (
	InSimulator Where = "simulator"
	InLab       Where = "lab"
)

// Runs reports whether the script runs in that world.
func (s Script) Runs(w Where) bool { return s.Only == "" || s.Only == w }

// Cluster is the cluster that a script is about.
type Cluster struct {
	Servers int  // 2, 3 or 5
	Witness bool // goes with 2
	Async   bool
	Wait    bool // commits wait although nobody is left to acknowledge
}

// Line is one line of a script that has something happen or expects something.
type Line struct {
	Number int
	Text   string

	At     time.Duration // of a line that has something happen: when, since the start; -1: at once
	Action Action        // what; zero: nothing
	Node   Who           // to whom

	Check Check         // what is expected; zero: nothing
	Mode  Mode          // how
	For   time.Duration // within which, or for how long
}

// Mode is how something is expected.
type Mode string

// The modes.
const (
	Expect  Mode = "expect"  // it becomes so, within a time
	Keep    Mode = "keep"    // it is so all the time
	Finally Mode = "finally" // it is so after everything was healed
)

// Who names a node by what it is in the script: the primary of the moment, the one
// at the start, the other data nodes in order, the witness.
type Who string

// The names.
const (
	Nobody       Who = ""
	Primary      Who = "primary"
	OldPrimary   Who = "old-primary"
	Replica      Who = "replica"
	OtherReplica Who = "other-replica"
	TheWitness   Who = "witness"
)

var everybody = []Who{Primary, OldPrimary, Replica, OtherReplica, TheWitness}

// Action is something that happens: a fault, a request, or the end of all faults.
type Action string

// The actions. Their names are those of the lab's faults.
const (
	Crash          Action = "crash"           // the server is killed; its host lives
	Power          Action = "power"           // the host is gone
	Freeze         Action = "freeze"          // the server hangs
	AgentKill      Action = "agent-kill"      // the agent is killed; the server lives
	Partition      Action = "partition"       // the host is cut off from all, clients too
	PartitionIn    Action = "partition-in"    // nothing reaches the host
	PartitionOut   Action = "partition-out"   // nothing that it sends arrives
	PartitionNodes Action = "partition-nodes" // no other node reaches it; clients do
	PartitionPair  Action = "partition-pair"  // it and one other data node lose each other
	DiskFull       Action = "disk-full"       // its server's disk is full
	BackupLock     Action = "backup-lock"     // a backup holds a global read lock
	Busy           Action = "busy"            // its processors are busy with something else
	Blip           Action = "blip"            // its network is gone for a fifth of the lease
	StoreLeader    Action = "store-leader"    // the store's leader is gone
	StoreLoss      Action = "store-loss"      // the store has no majority
	Lag            Action = "lag"             // its server applies slowly what it receives
	Switchover     Action = "switchover"      // to a node, if one is named
	Failover       Action = "failover"        // a person takes the role away
	Heal           Action = "heal"            // everything that is broken is mended
	Wait           Action = "wait"            // nothing, for a while
)

var actions = []Action{Crash, Power, Freeze, AgentKill, Partition, PartitionIn, PartitionOut, PartitionNodes, PartitionPair, DiskFull, BackupLock,
	Busy, Blip, StoreLeader, StoreLoss, Lag, Switchover, Failover, Heal, Wait}

// Asks reports an action that a person asks for, and the cluster may refuse.
func (a Action) Asks() bool { return a == Switchover || a == Failover }

// needsNode reports whether the action hits a node that must be named.
func (a Action) needsNode() bool {
	return !slices.Contains([]Action{StoreLeader, StoreLoss, Switchover, Failover, Heal, Wait}, a)
}

// Check is one thing that can be so or not.
type Check struct {
	Kind    Kind
	Who     Who
	Not     bool // PrimaryIs
	Phase   cluster.Phase
	Reasons []cluster.Reason // Trace: in this order; Reason: the one
	Count   int              // Lost
	Below   time.Duration    // Outage
}

// Kind is what a check looks at.
type Kind string

// The kinds.
const (
	PrimaryIs    Kind = "primary is"     // the record names that node
	Follows      Kind = "follows"        // it replicates from the primary
	AllFollow    Kind = "all follow"     // all others do
	ReadOnly     Kind = "read-only"      // clients cannot write there
	ClientsWrite Kind = "clients write"  // a write was acknowledged since the line began
	AddressAt    Kind = "address at"     // it alone has the virtual address
	PhaseIs      Kind = "phase is"       // the record's phase
	Trace        Kind = "trace"          // the record changed for these reasons, in this order
	ReasonIs     Kind = "reason is"      // somebody says so: a change, or why there is none
	Refused      Kind = "refused"        // a request was turned down
	Lost         Kind = "lost"           // acknowledged writes that the primary lacks
	Outage       Kind = "outage"         // the longest time without an acknowledged write
	AddressOnce  Kind = "address on one" // no two hosts announce the virtual address
	OneWriter    Kind = "one writer"     // no two servers take writes of clients
)

// final reports a check that can only be made when everything is over.
func (k Kind) final() bool { return k == Lost || k == Outage }

func (c Cluster) String() string {
	text := fmt.Sprintf("%d nodes", c.Servers)
	if c.Witness {
		text += " and a witness"
	}
	if c.Async {
		text += ", async"
	}
	if c.Wait {
		text += ", alone wait"
	}
	return text
}

// list is what may be written, for errors.
func list[T ~string](all []T) string {
	var b strings.Builder
	for i, a := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(a))
	}
	return b.String()
}
