// Package cluster holds the nouns that every node agrees on: nodes, the record
// that says who is primary, the lease, and the facts and views that decisions
// are made from.
//
// It never reads a clock, a file or a network. The one rule: a value decoded
// from the store and encoded again loses nothing, also not the fields that a
// newer version of Baton wrote (see codec.go).
package cluster

import (
	"cmp"
	"slices"
	"time"
)

// NodeName is the name of a host that runs Baton, unique in its cluster.
type NodeName string

// Epoch numbers the reigns of primaries. It grows by one with every change of
// primary and is the fencing token.
type Epoch uint64

// Revision is the store's number for one version of one key. Zero means that
// the key does not exist.
type Revision int64

// Instant is a reading of one node's own monotonic clock, in nanoseconds since
// that host booted (suspension included). Instants of two nodes, or of one
// node before and after a boot, are never compared.
type Instant int64

// Add returns the instant d after i.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time that passed from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Role says what a node takes part in.
type Role string

// The roles of a node.
const (
	Data    Role = "data"    // has a database server
	Witness Role = "witness" // observes and votes, has no server
)

// Node is one member of a cluster as the configuration describes it.
type Node struct {
	Name   NodeName `json:"name"`
	Role   Role     `json:"role"`
	Site   string   `json:"site,omitempty"`   // data centre; empty means the one unnamed site
	Prefer int      `json:"prefer,omitempty"` // higher is preferred as primary
	Never  bool     `json:"never,omitempty"`  // never promote this node
}

// Durability says when a commit is answered.
type Durability string

// The kinds of durability.
const (
	Lossless Durability = "lossless" // semi-synchronous, never falling back
	Async    Durability = "async"    // a failover may lose the newest transactions
)

// AlonePolicy says what a primary does whose last acknowledging replica left.
type AlonePolicy string

// What a primary does when nobody is left to acknowledge.
const (
	AloneContinue AlonePolicy = "continue" // commit without acknowledgement, only this primary's data may be elected
	AloneWait     AlonePolicy = "wait"     // commits wait until a replica is back
)

// Mode says whether Baton acts.
type Mode string

// The modes of a node.
const (
	Active  Mode = "active"
	Observe Mode = "observe" // watch and explain, change nothing
)

// Settings are the numbers and the membership that the protocol runs with.
// They come from the configuration, are the same on every node, and are hashed
// into every fact so that nodes which differ are noticed.
type Settings struct {
	Cluster string `json:"cluster"`
	Nodes   []Node `json:"nodes"` // sorted by name

	Lease  time.Duration `json:"lease"`  // L: how long a renewal is valid, counted from before it was sent
	Renew  time.Duration `json:"renew"`  // a renewal is sent this often; L/4
	Call   time.Duration `json:"call"`   // deadline of one call to the store; L/8
	Drift  float64       `json:"drift"`  // by how much two clocks may differ in speed, as a ratio
	Margin time.Duration `json:"margin"` // safety margin on top of drift

	Beat         time.Duration `json:"beat"`          // facts and views are rewritten at least this often
	Hang         time.Duration `json:"hang"`          // a server that answers nothing for so long is hung
	Drain        time.Duration `json:"drain"`         // open transactions get so long before a planned switch
	Handoff      time.Duration `json:"handoff"`       // a planned switch that has not reached promoting by then is rolled back
	PromoteStall time.Duration `json:"promote_stall"` // a candidate without progress for so long is fenced
	AckLeave     time.Duration `json:"ack_leave"`     // an acknowledging replica silent for so long leaves the ack set
	PromiseWait  time.Duration `json:"promise_wait"`  // async: how long an election waits for more promises than one

	Durability Durability  `json:"durability"`
	Acks       int         `json:"acks"` // k: acknowledgements a commit waits for
	Alone      AlonePolicy `json:"alone"`
	// BackFill is for how long, in asynchronous mode, a new primary fetches what the
	// binary log of the dead one holds; 0: not at all.
	BackFill time.Duration `json:"back_fill,omitempty"`

	// FailOverOn names the checks of layer 4 upon which the primary is replaced,
	// sorted. The others only alert.
	FailOverOn []string `json:"fail_over_on,omitempty"`

	CoolDown   time.Duration `json:"cool_down"`    // no second automatic failover within this time of a finished one
	MaxPerHour int           `json:"max_per_hour"` // automatic failovers in an hour; 0 means no limit

	Rejoin RejoinPolicy `json:"rejoin,omitzero"` // of a node whose server has diverged
}

// Node returns the node of that name.
func (s Settings) Node(name NodeName) (Node, bool) {
	i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return s.Nodes[i], true
}

// DataNodes returns the names of all nodes that have a server, sorted.
func (s Settings) DataNodes() []NodeName {
	var names []NodeName
	for _, n := range s.Nodes {
		if n.Role == Data {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Majority is the smallest number of nodes that is more than half of all.
func (s Settings) Majority() int { return len(s.Nodes)/2 + 1 }

// SortNodes puts nodes into the order that Settings wants.
func SortNodes(nodes []Node) {
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
}
