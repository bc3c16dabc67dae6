// Package api answers what a cluster is doing and takes what people ask of it,
// over HTTP on a unix socket of every node.
//
// It decides nothing: a request is written into the store, where Decide finds
// it, and everything shown comes from a Snapshot that the agent made. Only the
// store's own members are asked and changed directly, for nobody decides on
// them. The rule that must not be broken: nothing read here can stop or slow the
// agent. The agent publishes and goes on; readers wait for themselves.
//
//	GET  /v1/status
//	GET  /v1/explain                 why it is so, and what would become of it
//	GET  /v1/budget                  what an outage would be made of
//	GET  /v1/facts
//	GET  /v1/history                 list of switches
//	GET  /v1/history/{epoch}         one switch, by any epoch of it
//	POST /v1/requests                → 202 with the request's id
//	GET  /v1/requests/{id}?wait=10s  state; with wait, once it is final
//	POST /v1/rejoin/plan             what a rejoin would do; nothing is asked for
//	GET  /v1/events                  server-sent events
//	GET  /primary, /replica, /health, /metrics   as over the network (package public)
//	GET  /v1/lost                     audits of transactions that only this host's server had
//	GET  /v1/lost/{name}/report       one of them, for people
//	GET  /v1/lost/{name}/transactions the same as JSON
//	POST /v1/lost/{name}/check        its rows compared with the primary's as they are now
//	GET  /v1/connections              the clients' connections, as this node knows them
//	GET  /v1/store/members
//	POST /v1/store/members/{node}/replace             → 202 with the new member, which is invited
//	POST /v1/store/members/{node}/admit?id=…&wait=10s → its vote, once it has copied everything
//
// Errors are an Error document with a status code that fits.
package api

import (
	"context"
	"time"

	"github.com/baton-db/baton/internal/core/candidate"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/timeline"
)

// Source is where the server finds what to show. Live satisfies it.
type Source interface {
	// Snapshot returns the newest one; false before there is any.
	Snapshot() (Snapshot, bool)
	// Since returns the events after that one, and a channel that is closed
	// when there are more.
	Since(after uint64) ([]Event, <-chan struct{})
	// Request returns what has become of a request.
	Request(id string) (RequestState, bool)
	// Expect says that a request is in the store, before the watch brings it.
	Expect(q cluster.Request)
}

// Requests is where the server puts what people ask.
type Requests interface {
	// Submit writes a request into the store. It returns once every node can
	// find it there, not once it is carried out.
	Submit(ctx context.Context, q cluster.Request) error
	// Forget deletes a refused request, once the one who asked has read why.
	Forget(ctx context.Context, id string) error
}

// History is where the server finds the timeline.
type History interface {
	// Parts returns all parts that the store has, in any order.
	Parts(ctx context.Context) ([]timeline.NodePart, error)
}

// Aged is a shared value and how long ago this node saw it change.
type Aged[T any] struct {
	Value T
	Age   time.Duration
}

// Snapshot is what one node's agent knows at one moment. The agent makes it
// and changes nothing in it afterwards.
type Snapshot struct {
	Node     cluster.NodeName
	Agent    string // this incarnation of it
	Build    string
	Mode     cluster.Mode
	Wall     time.Time // for people
	Settings cluster.Settings

	Record cluster.Record
	Rev    cluster.Revision // 0: the cluster has no record yet
	// Lease is the lease key as this node last saw it. A lease with no holder
	// was never seen.
	Lease Aged[cluster.Lease]

	Facts    map[cluster.NodeName]Aged[cluster.Fact]
	Views    map[cluster.NodeName]Aged[cluster.View]
	Requests []cluster.Request
	Store    Store

	// Verdict is why Decide, on this node, leaves things as they are.
	Verdict Verdict
	// Waiting is what has to come in before the present phase can end.
	Waiting []Waiting
	// Preview is what a switch asked for now would do.
	Preview *Preview
	// LastSwitch is the newest entry of the history.
	LastSwitch *LastSwitch
	// Would is, in mode observe, what would be done.
	Would *Would

	// Roads are the endpoints that are configured besides virtual addresses.
	Roads []RoadSetting
	// Calls is how long the calls of those that this node leads took since its agent
	// started.
	Calls []reach.Calls

	// World is what the newest decision rested on, at WorldAt by this node's own
	// clock; nil if nothing can be thought through. Pace is how many transactions
	// a second each server was last seen to apply.
	World   *decide.World
	WorldAt cluster.Instant
	Pace    map[cluster.NodeName]float64
}

// Store says how the store looks from this node.
type Store struct {
	Silent  bool             `json:"silent"`           // no majority of it answers this node
	Detail  string           `json:"detail,omitempty"` // the last error
	Leader  cluster.NodeName `json:"leader,omitempty"` // embedded only
	Members int              `json:"members,omitempty"`
	Healthy int              `json:"healthy,omitempty"`
}

// Verdict is a reason with its evidence.
type Verdict struct {
	Reason cluster.Reason `json:"reason"`
	Detail string         `json:"detail,omitempty"`
}

// Waiting is one thing that is being waited for.
type Waiting struct {
	For    cluster.Reason   `json:"for"`
	Node   cluster.NodeName `json:"node,omitempty"` // of whom
	Detail string           `json:"detail,omitempty"`
}

// Preview is what a switch would do if it were asked for now.
type Preview struct {
	Switchover Plan `json:"switchover"`
	Failover   Plan `json:"failover"`
}

// Plan is one kind of switch, thought through and not begun.
type Plan struct {
	// Refused is why it would be turned down; empty if it would begin.
	Refused string `json:"refused,omitempty"`
	// Candidate is who would be promoted if nobody is named, and By the
	// comparison that decides.
	Candidate cluster.NodeName `json:"candidate,omitempty"`
	By        cluster.Reason   `json:"by,omitempty"`
	// Passed are all the other data nodes.
	Passed []Alternative `json:"passed,omitempty"`
	// Waits is what would be waited for, in order.
	Waits []Waiting `json:"waits,omitempty"`
}

// Alternative is a node that would be passed over.
type Alternative struct {
	Node   cluster.NodeName `json:"node"`
	Reason cluster.Reason   `json:"reason"`
	Detail string           `json:"detail,omitempty"`
	// Possible says that it is only less preferred: named with --to, it would
	// be promoted.
	Possible bool `json:"possible,omitempty"`
}

// PlanOf makes the plan of a choice.
func PlanOf(c candidate.Choice) Plan {
	plan := Plan{Candidate: c.Winner, By: c.Decided}
	for _, p := range c.Passed {
		plan.Passed = append(plan.Passed, Alternative{Node: p.Node, Reason: p.Reason, Detail: p.Detail, Possible: possible(p.Reason)})
	}
	return plan
}

// possible reports whether a node passed over for that reason could be asked
// for by name.
func possible(why cluster.Reason) bool {
	switch why {
	case cluster.PassedSite, cluster.PassedPreference, cluster.PassedBehind, cluster.PassedName, cluster.PassedFailed, cluster.PassedNetwork:
		return true
	}
	return false
}

// LastSwitch is the newest switch in one line.
type LastSwitch struct {
	Epoch  cluster.Epoch    `json:"epoch"`
	Kind   timeline.Kind    `json:"kind"`
	From   cluster.NodeName `json:"from,omitempty"`
	To     cluster.NodeName `json:"to,omitempty"`
	Reason cluster.Reason   `json:"reason"`
	At     string           `json:"at,omitempty"` // RFC 3339
	Took   timeline.Millis  `json:"took_ms"`
}

// LastOf makes the line of a switch.
func LastOf(s timeline.Switch) LastSwitch {
	return LastSwitch{Epoch: s.Epoch, Kind: s.Kind, From: s.From, To: s.To, Reason: s.Reason, At: s.At, Took: s.Took}
}

// RequestStatus says how far a request has come.
type RequestStatus string

// The states of a request. Done, Failed and Refused are final.
const (
	Pending  RequestStatus = "pending"  // in the store, nobody has dealt with it yet
	Accepted RequestStatus = "accepted" // the record has changed because of it
	Done     RequestStatus = "done"
	Failed   RequestStatus = "failed"  // accepted, and did not come to be
	Refused  RequestStatus = "refused" // turned down; nothing has changed
)

// Final reports whether the state will change no more.
func (s RequestStatus) Final() bool { return s == Done || s == Failed || s == Refused }

// RequestState is what has become of a request.
type RequestState struct {
	ID     string              `json:"id"`
	Kind   cluster.RequestKind `json:"kind,omitempty"`
	Status RequestStatus       `json:"status"`
	// Epoch is that of the newest record which the request led to.
	Epoch   cluster.Epoch    `json:"epoch,omitempty"`
	Phase   cluster.Phase    `json:"phase,omitempty"`
	Primary cluster.NodeName `json:"primary,omitempty"`
	Reason  cluster.Reason   `json:"reason,omitempty"`
	Detail  string           `json:"detail,omitempty"` // refused or failed: why
}

// Ask is the body of POST /v1/requests.
type Ask struct {
	Kind  cluster.RequestKind `json:"kind"`
	To    cluster.NodeName    `json:"to,omitempty"`
	Node  cluster.NodeName    `json:"node,omitempty"`
	Force bool                `json:"force,omitempty"`
	Why   string              `json:"why,omitempty"`
	// Method and Drop are of a rejoin: how, and whether the old data goes. To is
	// then whose data is copied.
	Method cluster.RejoinMethod `json:"method,omitempty"`
	Drop   bool                 `json:"drop,omitempty"`
	// Epoch is the one that the person was looking at; zero means the present one.
	Epoch cluster.Epoch `json:"epoch,omitempty"`
}

// Event is one thing that has just become so.
type Event struct {
	Seq  uint64    `json:"seq"` // grows by one with each event of one agent
	Kind EventKind `json:"kind"`
	At   string    `json:"at"` // wall clock of this node, RFC 3339

	Record    *timeline.RecordSight `json:"record,omitempty"`
	Paused    bool                  `json:"paused,omitempty"`
	Node      cluster.NodeName      `json:"node,omitempty"`
	Condition *cluster.Condition    `json:"condition,omitempty"`
	Verdict   *Verdict              `json:"verdict,omitempty"`
	Request   *RequestState         `json:"request,omitempty"`
}

// EventKind says what an event is about.
type EventKind string

// The kinds of events.
const (
	RecordChanged  EventKind = "record"
	ConditionBegan EventKind = "condition"
	ConditionEnded EventKind = "condition-ended"
	VerdictChanged EventKind = "verdict" // why nothing is done has changed
	RequestChanged EventKind = "request"
)

// Error is what the API answers instead of what was asked for.
type Error struct {
	Status  int    `json:"status"` // HTTP status code
	Message string `json:"message"`
	Mend    string `json:"mend,omitempty"` // what would be right
}

func (e *Error) Error() string {
	if e.Mend == "" {
		return e.Message
	}
	return e.Message + ": " + e.Mend
}
