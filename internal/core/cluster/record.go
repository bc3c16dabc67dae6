package cluster

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
)

// Schema is the version of the values that this build writes. A node that
// meets a higher one decides nothing and keeps what it holds.
const Schema = 1

// Phase is where a cluster is in the life of a reign.
type Phase string

// The phases. PhaseSteady and PhaseHandoff have a primary that serves,
// PhasePromoting has one that is about to; the other two have none.
const (
	PhaseSteady    Phase = "steady"    // the primary holds the lease
	PhaseHandoff   Phase = "handoff"   // planned: the primary drains and stops writing
	PhaseFencing   Phase = "fencing"   // forced: wait until the old primary surely cannot serve
	PhaseElecting  Phase = "electing"  // replicas stop receiving and promise
	PhasePromoting Phase = "promoting" // the chosen node catches up, takes the lease and opens
)

// Record is the one shared value that says who is primary. It changes only by
// compare-and-swap in the store.
type Record struct {
	Schema int   `json:"schema"`
	Epoch  Epoch `json:"epoch"`
	Phase  Phase `json:"phase"`

	// Primary is the only node that may hold the lease of this epoch. It is
	// empty in fencing and electing.
	Primary NodeName `json:"primary,omitempty"`
	// Candidate is, in handoff, the node that is to become primary; in fencing
	// and electing the one that a person asked for.
	Candidate NodeName `json:"candidate,omitempty"`
	// Previous is the node that held the role before, or is being fenced.
	Previous NodeName `json:"previous,omitempty"`
	// Planned says that the previous primary drained and is alive: addresses
	// move make-before-break.
	Planned bool `json:"planned,omitempty"`

	Reason  Reason   `json:"reason"`            // why the record became what it is
	Detail  string   `json:"detail,omitempty"`  // the evidence, for people
	By      NodeName `json:"by,omitempty"`      // the node whose swap won
	Request string   `json:"request,omitempty"` // the request that asked for it

	// Force says that a person wants the election decided with the promises
	// that there are.
	Force bool `json:"force,omitempty"`
	// Forced is the newest epoch whose election was decided in that way, or of
	// which nobody knows: acknowledged writes of a reign before it may be lost.
	Forced Epoch `json:"forced,omitempty"`

	// Required is what the primary must hold before it serves: the position
	// that its election was decided on.
	Required gtid.Set `json:"required,omitzero"`
	// Source is a node that holds Required, when the primary lacked some of it.
	Source NodeName `json:"source,omitempty"`
	// Failed are the nodes passed over in the switch that is going on, because
	// they failed as primary or as candidate during it.
	Failed []NodeName `json:"failed,omitempty"`

	// Quorums says whose promises an election needs: all of them must be
	// satisfied. The last one is the present reign's; earlier ones are kept
	// until the reign's marker transaction has been acknowledged.
	Quorums []AckQuorum `json:"quorums,omitempty"`
	// Joining is a replica that is to acknowledge while the present ack set is
	// empty; it enters the set once it holds everything.
	Joining NodeName `json:"joining,omitempty"`

	Paused *Pause `json:"paused,omitempty"`
	// Maintenance are the nodes that somebody works on, sorted by name. The
	// primary is never among them.
	Maintenance []Maintenance `json:"maintenance,omitempty"`

	// Rejoin is a node's way back that is under way, and Rejoined what came of the
	// one before. Held are the nodes that a person wants left as they are.
	Rejoin   *Rejoin    `json:"rejoin,omitempty"`
	Rejoined *Rejoined  `json:"rejoined,omitempty"`
	Held     []NodeName `json:"held,omitempty"`

	// Since is the wall-clock time (RFC 3339) at which By wrote the record. It
	// is shown to people and used by no decision.
	Since string `json:"since,omitempty"`
	// Switches are the wall-clock seconds of the latest automatic failovers,
	// newest last, for the limit per hour.
	Switches []int64 `json:"switches,omitempty"`

	unknown map[string]json.RawMessage
}

// Pause is maintenance: nothing automatic happens while it is set.
type Pause struct {
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
	At  string `json:"at"`
}

// Maintenance is that somebody works on one node: it is not promoted, its server
// is not started and its replication not set going, and nobody is alarmed by it.
// What keeps clients from writing there goes on.
type Maintenance struct {
	Node NodeName `json:"node"`
	By   string   `json:"by"`
	Why  string   `json:"why,omitempty"`
	At   string   `json:"at"`
}

// Maintained returns the maintenance that a node is in; nil if it is in none.
func (r Record) Maintained(n NodeName) *Maintenance {
	i := slices.IndexFunc(r.Maintenance, func(m Maintenance) bool { return m.Node == n })
	if i < 0 {
		return nil
	}
	return &r.Maintenance[i]
}

// WithMaintenance returns the record with m in it, instead of an earlier one of
// the same node.
func (r Record) WithMaintenance(m Maintenance) Record {
	r = r.WithoutMaintenance(m.Node)
	r.Maintenance = append(r.Maintenance, m)
	slices.SortFunc(r.Maintenance, func(a, b Maintenance) int { return cmp.Compare(a.Node, b.Node) })
	return r
}

// WithoutMaintenance returns the record with the maintenance of a node over.
func (r Record) WithoutMaintenance(n NodeName) Record {
	r.Maintenance = slices.DeleteFunc(slices.Clone(r.Maintenance), func(m Maintenance) bool { return m.Node == n })
	if len(r.Maintenance) == 0 {
		r.Maintenance = nil
	}
	return r
}

// AckQuorum is one reign's rule for which promises show every transaction that
// a client saw acknowledged in it.
type AckQuorum struct {
	Epoch   Epoch      `json:"epoch"`
	Primary NodeName   `json:"primary"`
	Members []NodeName `json:"members"` // the ack set, sorted; empty: only the primary's data may be elected
	K       int        `json:"k"`       // acknowledgements that a commit waited for; 0: asynchronous, any one promise will do
	// Start is the start identity of the primary's server in that reign. The
	// primary's own promise is proof only in the same life: a server that was
	// killed may come back without its newest acknowledged transactions.
	Start string `json:"start,omitempty"`
}

// Satisfied reports whether promises of those nodes show everything that was
// acknowledged: the primary's own, or n-k+1 of the n members.
func (q AckQuorum) Satisfied(promised []NodeName) bool {
	if slices.Contains(promised, q.Primary) {
		return true
	}
	if q.K == 0 {
		return len(promised) > 0
	}
	if len(q.Members) == 0 {
		return false
	}
	have := 0
	for _, m := range q.Members {
		if slices.Contains(promised, m) {
			have++
		}
	}
	return have >= max(1, len(q.Members)-q.K+1)
}

// Missing returns the members whose promise is not among promised.
func (q AckQuorum) Missing(promised []NodeName) []NodeName {
	var missing []NodeName
	for _, m := range q.Members {
		if !slices.Contains(promised, m) {
			missing = append(missing, m)
		}
	}
	return missing
}

// Without returns those who are left when gone leave the set, and whether they
// may leave: the others hold everything until at, the position that was read
// after the gone ones were cut off. Whether an empty set will do is another
// question.
func (q AckQuorum) Without(gone []NodeName, at gtid.Set, held func(NodeName) gtid.Set) (rest []NodeName, may bool) {
	rest = slices.DeleteFunc(slices.Clone(q.Members), func(m NodeName) bool { return slices.Contains(gone, m) })
	hold := 0
	for _, m := range rest {
		if held(m).Contains(at) {
			hold++
		}
	}
	return rest, hold >= min(q.K, len(rest))
}

// Acks returns the present reign's rule; the zero value if there is none.
func (r Record) Acks() AckQuorum {
	if len(r.Quorums) == 0 {
		return AckQuorum{}
	}
	return r.Quorums[len(r.Quorums)-1]
}

// Before returns the primary of the reign before this one that took writes: the
// newest transactions of an asynchronous reign may be nowhere but there. It is
// empty once this reign's marker is acknowledged, and if there is none.
func (r Record) Before() NodeName {
	if n := len(r.Quorums); n > 1 && r.Quorums[n-1].Epoch == r.Epoch {
		return r.Quorums[n-2].Primary
	}
	return ""
}

// HasPrimary reports whether some node may hold the lease.
func (r Record) HasPrimary() bool { return r.Primary != "" }

// Lease is the value by which the primary's agent renews its permission to
// serve. Only its change and its revision matter to others.
type Lease struct {
	Schema int      `json:"schema"`
	Epoch  Epoch    `json:"epoch"`
	Holder NodeName `json:"holder"`
	Agent  string   `json:"agent"` // the incarnation of the agent that renews
	Seq    uint64   `json:"seq"`
	// Length is how long the holder counts on this renewal: others wait for no
	// less, whatever their own settings say.
	Length time.Duration `json:"length,omitempty"`
}

// RequestKind is what a person asks for.
type RequestKind string

// The requests.
const (
	RequestSwitchover RequestKind = "switchover"
	RequestFailover   RequestKind = "failover"
	RequestPause      RequestKind = "pause"
	RequestResume     RequestKind = "resume"

	RequestMaintenance    RequestKind = "maintenance"     // of Node begins
	RequestMaintenanceEnd RequestKind = "maintenance-end" // of Node is over

	RequestRejoin RequestKind = "rejoin"
)

// Request is one thing that a person asked for through any node.
type Request struct {
	Schema int         `json:"schema"`
	ID     string      `json:"id"`
	Kind   RequestKind `json:"kind"`
	To     NodeName    `json:"to,omitempty"`    // switchover, failover: the wanted primary; rejoin: whose data
	Node   NodeName    `json:"node,omitempty"`  // rejoin, maintenance: which node
	Force  bool        `json:"force,omitempty"` // failover: although promises are missing; rejoin: although nobody else acknowledges
	// Method is how a node is to rejoin; empty: as the configuration says. Drop
	// removes the data that a reclone replaced.
	Method RejoinMethod `json:"method,omitempty"`
	Drop   bool         `json:"drop,omitempty"`
	By     string       `json:"by"` // who asked
	Why    string       `json:"why,omitempty"`
	Epoch  Epoch        `json:"epoch"` // the epoch that the person was looking at
	At     string       `json:"at"`
	// Refused is why the request was turned down. A refused request is kept
	// until the one who asked has read it.
	Refused string `json:"refused,omitempty"`
}
