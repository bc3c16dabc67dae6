// Package candidate answers which replica becomes primary, and why each other
// node was passed over.
//
// It never asks a server and never waits: who has not promised yet is passed
// over. The one rule: every node that is given the same facts makes the same
// choice, whatever order they come in. design.md, section 8.
package candidate

import (
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// Replica is one data node as a choice sees it.
type Replica struct {
	Node   cluster.Node
	Server cluster.ServerFact
	// Promise is the node's promise for the election's epoch; nil if it has
	// not given one.
	Promise *cluster.Promise
	Errant  gtid.Set
	// Observes says that its agent only observes (mode: observe): it would
	// carry nothing out.
	Observes bool
	// Maintenance says who works on it, and why; empty if nobody does.
	Maintenance string
	Held        string // why it waits for a person; empty if it does not
	Strain      string // of a check upon which a primary would be replaced; empty if there is none
	Network     string // what is wrong with the clients' network there; empty if nothing is
	Failed      bool   // failed as primary or candidate in the switch that is going on
	// Unheard says that its agent has not been heard of lately: what its fact
	// says of the server may be over, so it counts as down.
	Unheard bool
}

// Of returns the replica that a node's configuration and fact describe, in an
// election at that epoch. A promise for another epoch does not count.
func Of(node cluster.Node, fact cluster.Fact, election cluster.Epoch) Replica {
	r := Replica{Node: node, Server: fact.Server, Errant: fact.Errant, Held: fact.Held, Observes: fact.Mode == cluster.Observe}
	if fact.Network.State == cluster.Down || fact.Network.State == cluster.Suspect {
		r.Network = fact.Network.Evidence
	}
	if fact.Promise != nil && fact.Promise.Epoch == election {
		r.Promise = fact.Promise
	}
	return r
}

// Election is everything that a choice rests on.
type Election struct {
	// Replicas are all data nodes that could be chosen or whose data counts:
	// after a failure the old primary too, in a planned switch all but it.
	Replicas []Replica
	// Quorums are those of the record. If they are satisfied by servers that
	// are up, then nothing acknowledged can be on the others alone, and those
	// cannot hold the election up. Without quorums every promise counts.
	Quorums []cluster.AckQuorum
	Old     cluster.NodeName // the primary that is replaced
	OldSite string           // its site
	Sites   []string         // in order of preference
	Wanted  cluster.NodeName
	// Planned says that the primary lives and will hand off: nobody has
	// promised, and the one chosen will be given everything.
	Planned bool
	// Force says that a person accepts to lose what cannot be had.
	Force bool
}

// Choice is the outcome of an election.
type Choice struct {
	// Winner is to become primary; empty if nobody can.
	Winner cluster.NodeName
	// Required is what the winner must hold before it serves; empty in a
	// planned switch, where the old primary's final position says it.
	Required gtid.Set
	// Source is a node that holds all of Required, if the winner does not.
	Source cluster.NodeName
	// Decided is the comparison by which the winner came before the runner-up,
	// OnlyCandidate or AskedFor; without a winner, why there is none.
	Decided cluster.Reason
	// Passed are all the others, sorted by name.
	Passed []Passed
}

// Passed is a node that was not chosen.
type Passed struct {
	Node   cluster.NodeName
	Reason cluster.Reason
	Detail string // the evidence, for people
}

// Choose elects a primary. It reports false if nobody can be chosen; the
// choice then says why, and why not for each node.
//
// Nodes that must not serve are dropped (disqualify), and so are those that
// could not come to hold everything required, by themselves or from another.
// The rest is put in order by the comparisons of rank. Reluctance comes before
// all of them: a node that failed in this switch, or that is too new for
// another to follow, is chosen only if nobody else can serve.
func Choose(e Election) (Choice, bool) {
	f := newField(e)
	if e.Wanted != "" {
		f.passUnwanted(e.Wanted)
	}
	if len(f.running()) == 0 {
		return f.nobody(cluster.NobodyToPromote)
	}
	f.passUnable()
	if len(f.running()) == 0 {
		return f.nobody(cluster.NoOneHoldsAll)
	}
	f.passReluctant()
	return f.winner(), true
}
