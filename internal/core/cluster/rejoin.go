package cluster

import (
	"fmt"
	"slices"
)

// RejoinMethod is a way in which a node that cannot simply follow comes back.
type RejoinMethod string

// The ways back.
const (
	Rewind  RejoinMethod = "rewind"  // undo what only this server has, then follow
	Reclone RejoinMethod = "reclone" // take a copy of another server's data in place of its own, then follow
	Hold    RejoinMethod = "hold"    // leave it as it is until a person decides
)

// RejoinPolicy says how a node comes back whose server has transactions that the
// primary does not have, without a person having said so.
type RejoinPolicy struct {
	Acknowledged   RejoinMethod `json:"acknowledged,omitempty"`   // a client may have been told that one of them is committed
	Unacknowledged RejoinMethod `json:"unacknowledged,omitempty"` // none of them was ever answered
}

// Rejoin is one node's way back while it is under way. There is one at a time:
// each costs the cluster a copy of the data while it lasts.
type Rejoin struct {
	ID     string       `json:"id"` // of the request
	Node   NodeName     `json:"node"`
	Method RejoinMethod `json:"method"`
	Donor  NodeName     `json:"donor,omitempty"` // reclone: whose data it gets
	Drop   bool         `json:"drop,omitempty"`  // reclone: remove the old data once the copy is in its place
	By     string       `json:"by,omitempty"`    // who asked
	At     string       `json:"at,omitempty"`    // when, for people
}

// Rejoined is what came of the newest way back that has ended.
type Rejoined struct {
	ID     string       `json:"id"`
	Node   NodeName     `json:"node"`
	Method RejoinMethod `json:"method"`
	Failed string       `json:"failed,omitempty"` // why; empty: the node follows
	Detail string       `json:"detail,omitempty"`
}

// RejoinResult is what a node says of its part: what had to be done on its host
// is done, or why it is not.
type RejoinResult struct {
	ID     string `json:"id"`
	Failed string `json:"failed,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// RejoinOf returns the way back that a node is on; nil if it is on none.
func (r Record) RejoinOf(n NodeName) *Rejoin {
	if r.Rejoin == nil || r.Rejoin.Node != n {
		return nil
	}
	return r.Rejoin
}

// CountsOn reports whether an election could need what n holds: it is, or was in a
// reign that is not settled, one of those who acknowledge, or the primary of it.
func (r Record) CountsOn(n NodeName) bool {
	return r.Primary == n || r.Candidate == n || r.Joining == n ||
		slices.ContainsFunc(r.Quorums, func(q AckQuorum) bool { return q.Primary == n || slices.Contains(q.Members, n) })
}

// Left reports whether the rejoin is over as far as the node's own host goes.
func (j Rejoin) Left(f Fact) bool { return f.Rejoined != nil && f.Rejoined.ID == j.ID }

func (j Rejoin) String() string {
	text := fmt.Sprintf("%s of %s", j.Method, j.Node)
	if j.Donor != "" {
		text += " from " + string(j.Donor)
	}
	if j.By != "" {
		text += ", asked by " + j.By
	}
	return text
}
