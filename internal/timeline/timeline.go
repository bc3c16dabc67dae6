// Package timeline answers where the time of a switch went: what happened on
// which node, when, for how long, and why each other node was passed over.
//
// It decides nothing, talks to nobody and reads no clock of its own: the
// recorder is given one. The rule that must not be broken: readings of two
// nodes' clocks are never compared. Every node records with its own monotonic
// clock, and Merge brings the nodes together at what all of them saw, the
// changes of the record. Wall-clock times are shown to people and used for
// nothing else.
package timeline

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Schema is the version of the parts that this build stores.
const Schema = 1

// Step names one thing that a node does, or waits for, during a switch. Any
// name may be recorded; those below are known to the milestones.
type Step string

// The steps that milestones are made from.
const (
	StepDetect       Step = "detect"        // from the first bad sign to this node's verdict
	StepConfirm      Step = "confirm"       // from the verdict until Decide agreed
	StepFence        Step = "fence"         // the whole of making sure that no client can write here
	StepCloseGate    Step = "close-gate"    // part of fence: the firewall shuts
	StepSockets      Step = "sockets"       // part of fence: client sockets destroyed
	StepReadOnly     Step = "read-only"     // part of fence and of a handoff: read back as set
	StepDropAddress  Step = "drop-address"  // part of fence: the virtual addresses removed
	StepKillServer   Step = "kill-server"   // part of fence: the fencing SQL missed its deadline
	StepDrain        Step = "drain"         // planned: open transactions end
	StepBlock        Step = "block"         // a replica shuts its own path to the old source
	StepStopReceiver Step = "stop-receiver" //
	StepPromise      Step = "promise"       // from the election's start to the published promise
	StepFetch        Step = "fetch"         // the chosen one gets from another what it lacks
	StepApply        Step = "apply"         // everything received is applied
	StepBackFill     Step = "back-fill"     // asynchronous: what only the dead server's binary log holds
	StepPromote      Step = "promote"       // the server becomes a primary
	StepLease        Step = "lease"         // the lease is taken
	StepOpenGate     Step = "open-gate"     // clients may pass
	StepAddress      Step = "address"       // the virtual addresses bound and announced
	StepLostAddress  Step = "address-lost"  // somebody took one from the primary
	StepTickle       Step = "tickle"        // the clients of a dead host are told that their connections are over
	StepMarker       Step = "marker"        // the reign's first transaction is acknowledged
	StepVerify       Step = "verify"        // the endpoints were seen to lead here
	StepFollow       Step = "follow"        // a replica follows the new primary
)

// Outcome says how a step ended.
type Outcome string

// The outcomes of a step.
const (
	Open    Outcome = ""        // it had not ended when the part was written
	OK      Outcome = "ok"      // done, or for a suspicion: true
	Failed  Outcome = "failed"  // the detail says why
	Cleared Outcome = "cleared" // a suspicion that turned out to be wrong
)

// NodePart is what one node saw and did during one epoch. It is stored under
// history/<epoch>/<node>.
type NodePart struct {
	Schema int              `json:"schema"`
	Node   cluster.NodeName `json:"node"`
	Epoch  cluster.Epoch    `json:"epoch"`
	// Clock identifies the monotonic clock that all instants in this part are
	// readings of: the host's boot. Parts of one node with the same Clock may
	// be laid side by side; no others.
	Clock string `json:"clock"`
	// Seq grows with every version of this part.
	Seq uint64 `json:"seq"`

	Sights  []Sight  `json:"sights"`            // by revision
	Beacons []Beacon `json:"beacons,omitempty"` // by revision
	Events  []Event  `json:"events,omitempty"`  // in the order in which they began
	Choice  *Choice  `json:"choice,omitempty"`  // of the node whose swap chose

	unknown map[string]json.RawMessage
}

// Sight is a record change as one node learned of it.
type Sight struct {
	Rev cluster.Revision `json:"rev"`
	At  cluster.Instant  `json:"at"`
	// Read says that the node found the record so when it started, which
	// tells nothing about when it became so.
	Read bool `json:"read,omitempty"`
	// Mine says that this node's swap made the change; Why and Detail are
	// then its reason for this step (the record keeps that of the whole switch).
	Mine   bool           `json:"mine,omitempty"`
	Why    cluster.Reason `json:"why,omitempty"`
	Detail string         `json:"detail,omitempty"`

	Record RecordSight `json:"record"`
}

// RecordSight is what the timeline keeps of a record.
type RecordSight struct {
	Epoch     cluster.Epoch    `json:"epoch"`
	Phase     cluster.Phase    `json:"phase"`
	Primary   cluster.NodeName `json:"primary,omitempty"`
	Candidate cluster.NodeName `json:"candidate,omitempty"`
	Previous  cluster.NodeName `json:"previous,omitempty"`
	Planned   bool             `json:"planned,omitempty"`
	Reason    cluster.Reason   `json:"reason"`
	Detail    string           `json:"detail,omitempty"`
	By        cluster.NodeName `json:"by,omitempty"`
	Request   string           `json:"request,omitempty"`
	Since     string           `json:"since,omitempty"` // wall clock, RFC 3339
}

// SightOf is what the timeline keeps of r.
func SightOf(r cluster.Record) RecordSight {
	return RecordSight{
		Epoch: r.Epoch, Phase: r.Phase, Primary: r.Primary, Candidate: r.Candidate, Previous: r.Previous,
		Planned: r.Planned, Reason: r.Reason, Detail: r.Detail, By: r.By, Request: r.Request, Since: r.Since,
	}
}

// Beacon is some other change in the store that every node watches, a lease
// renewal or a fact, from just before the epoch began. Beacons place a node
// that was cut off, and learned of the record's changes much later than others.
type Beacon struct {
	Rev  cluster.Revision `json:"rev"`
	At   cluster.Instant  `json:"at"`
	Mine bool             `json:"mine,omitempty"` // this node wrote it
}

// Event is one step on one node.
type Event struct {
	Step    Step             `json:"step"`
	Rev     cluster.Revision `json:"rev"`     // of the newest record that the node had seen when it began
	Phase   cluster.Phase    `json:"phase"`   // of that record
	At      cluster.Instant  `json:"at"`      // when it began
	Took    time.Duration    `json:"took_ns"` // until it ended
	Outcome Outcome          `json:"outcome,omitempty"`
	Detail  string           `json:"detail,omitempty"`

	BackFill *BackFill `json:"back_fill,omitempty"`
}

// Choice is how a candidate was chosen.
type Choice struct {
	Chosen cluster.NodeName `json:"chosen"`
	By     cluster.Reason   `json:"by,omitempty"` // the comparison that decided
	Passed []Passed         `json:"passed,omitempty"`
}

// Passed is a node that was not chosen.
type Passed struct {
	Node   cluster.NodeName `json:"node"`
	Reason cluster.Reason   `json:"reason"`
	Detail string           `json:"detail,omitempty"`
}

type plainPart NodePart

// MarshalJSON keeps the fields that a newer version wrote.
func (p NodePart) MarshalJSON() ([]byte, error) {
	return cluster.MarshalKeeping(plainPart(p), p.unknown)
}

// UnmarshalJSON keeps the fields that it does not know.
func (p *NodePart) UnmarshalJSON(b []byte) error {
	unknown, err := cluster.UnmarshalKeeping(b, (*plainPart)(p))
	p.unknown = unknown
	return err
}

// Encode returns the stored form of a part.
func Encode(p NodePart) ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode the history of epoch %d on %s: %w", p.Epoch, p.Node, err)
	}
	return b, nil
}

// Decode reads a part as the store holds it. A part of a newer version is
// returned as far as it could be read, with cluster.ErrNewer.
func Decode(b []byte) (NodePart, error) {
	var p NodePart
	if err := json.Unmarshal(b, &p); err != nil {
		return NodePart{}, fmt.Errorf("decode a part of the history: %w", err)
	}
	switch {
	case p.Schema > Schema:
		return p, fmt.Errorf("decode a part of the history: schema %d: %w (this one knows schema %d)", p.Schema, cluster.ErrNewer, Schema)
	case p.Schema < 1:
		return NodePart{}, fmt.Errorf("decode a part of the history: schema %d is not a schema number", p.Schema)
	}
	return p, nil
}

// Millis is a duration that JSON shows in milliseconds, to the microsecond.
type Millis time.Duration

// D returns m as a duration.
func (m Millis) D() time.Duration { return time.Duration(m) }

// MarshalJSON writes milliseconds with three decimals.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1000, 'f', 3, 64), nil
}

// UnmarshalJSON reads milliseconds.
func (m *Millis) UnmarshalJSON(b []byte) error {
	ms, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return fmt.Errorf("read %q as milliseconds: %w", b, err)
	}
	*m = Millis(time.Duration(ms * float64(time.Millisecond)).Round(time.Microsecond))
	return nil
}
