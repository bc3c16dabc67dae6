package timeline

import (
	"cmp"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Kind says what sort of switch it was.
type Kind string

// The kinds of a switch.
const (
	Bootstrap  Kind = "bootstrap"   // the cluster's first record
	Switchover Kind = "switchover"  // planned, and the candidate became primary
	RolledBack Kind = "rolled-back" // planned, and the old primary serves on
	Failover   Kind = "failover"    // forced
)

// Switch is one change of primary, from all nodes. It may span several epochs:
// a switchover takes two, a candidate that fails adds one more.
//
// All times in it count from its first record change, the moment at which the
// cluster left steady. What led to it has negative times.
type Switch struct {
	Schema int           `json:"schema"`
	First  cluster.Epoch `json:"first_epoch"`
	Epoch  cluster.Epoch `json:"epoch"` // the last one: that of the new reign
	Kind   Kind          `json:"kind"`
	// Ended says that a reign began. Without it the switch is going on, or the
	// part that tells of its end is missing.
	Ended bool `json:"ended"`

	From   cluster.NodeName `json:"from,omitempty"`
	To     cluster.NodeName `json:"to,omitempty"`
	Reason cluster.Reason   `json:"reason"`
	Detail string           `json:"detail,omitempty"`
	At     string           `json:"at,omitempty"` // wall clock of the first record change, RFC 3339

	// Began is the first sign of trouble, at or before zero.
	Began Millis `json:"began_ms"`
	// Serving is when the new primary let clients in: lease, gate and
	// addresses. It is missing if nothing tells.
	Serving *Millis `json:"serving_ms,omitempty"`
	// Took is the time from Began to Serving, or to the last thing known.
	Took Millis `json:"took_ms"`

	Choice     *Choice     `json:"choice,omitempty"`
	BackFill   *BackFill   `json:"back_fill,omitempty"`
	Changes    []Change    `json:"changes"`
	Milestones []Milestone `json:"milestones"`
	Spans      []Span      `json:"spans"`
	Nodes      []Placing   `json:"nodes"`
}

// Change is one change of the record.
type Change struct {
	Rev cluster.Revision `json:"rev"`
	RecordSight
	// Why and Evidence are those of this step; Reason and Detail, in the
	// record, those of the whole switch.
	Why      cluster.Reason `json:"why,omitempty"`
	Evidence string         `json:"evidence,omitempty"`
	At       Millis         `json:"at_ms"`
	// Guessed says that no node's part tells how much later than the change
	// before it this one was.
	Guessed bool `json:"guessed,omitempty"`
}

// Span is one step of one node on the common scale.
type Span struct {
	Node    cluster.NodeName `json:"node"`
	Step    Step             `json:"step"`
	Epoch   cluster.Epoch    `json:"epoch"`
	Phase   cluster.Phase    `json:"phase"` // as the node knew it when the step began
	Start   Millis           `json:"start_ms"`
	Took    Millis           `json:"took_ms"`
	Outcome Outcome          `json:"outcome,omitempty"`
	Detail  string           `json:"detail,omitempty"`

	BackFill *BackFill `json:"back_fill,omitempty"`
}

// End is when the span ended.
func (s Span) End() Millis { return s.Start + s.Took }

// Placing says how well one node's clock could be placed on the common scale.
type Placing struct {
	Node cluster.NodeName `json:"node"`
	// Within is by how much its spans may be off to either side.
	Within Millis `json:"within_ms"`
	// Late is how late this node typically learned of a record change.
	Late Millis `json:"late_ms"`
	// CutOff says that even its quickest sight was late.
	CutOff bool `json:"cut_off,omitempty"`
	// Unplaced says that nothing this node saw is known to another one as
	// well: its spans are left out.
	Unplaced bool `json:"unplaced,omitempty"`
}

// Switches sorts the parts of a cluster's history into switches, oldest first.
// Epochs without any record change (bare events) are dropped.
func Switches(parts []NodePart) []Switch {
	byEpoch := map[cluster.Epoch][]NodePart{}
	for _, p := range parts {
		byEpoch[p.Epoch] = append(byEpoch[p.Epoch], p)
	}
	var epochs []cluster.Epoch
	for e := range byEpoch {
		epochs = append(epochs, e)
	}
	slices.Sort(epochs)

	var switches []Switch
	var group []NodePart
	flush := func() {
		if s, ok := Merge(group); ok {
			switches = append(switches, s)
		}
		group = nil
	}
	for i, e := range epochs {
		if i > 0 && e != epochs[i-1]+1 {
			flush() // the epochs between are missing
		}
		group = append(group, byEpoch[e]...)
		if slices.ContainsFunc(byEpoch[e], reachesSteady) {
			flush()
		}
	}
	flush()
	return switches
}

// Find returns the switch that an epoch belongs to.
func Find(switches []Switch, epoch cluster.Epoch) (Switch, bool) {
	i := slices.IndexFunc(switches, func(s Switch) bool { return s.First <= epoch && epoch <= s.Epoch })
	if i < 0 {
		return Switch{}, false
	}
	return switches[i], true
}

func reachesSteady(p NodePart) bool {
	return slices.ContainsFunc(p.Sights, func(s Sight) bool { return s.Record.Phase == cluster.PhaseSteady })
}

// describe fills in what the chain of changes tells about the whole switch.
func (s *Switch) describe() {
	first, last := s.Changes[0], s.Changes[len(s.Changes)-1]
	reign := last
	s.First, s.Epoch = first.Epoch, last.Epoch
	s.At, s.Reason, s.Detail = first.Since, first.Reason, first.Detail
	s.From = cmp.Or(first.Previous, first.Primary)
	s.Kind = Failover
	switch first.Phase {
	case cluster.PhaseHandoff:
		s.Kind, s.From = Switchover, first.Primary
	case cluster.PhaseSteady:
		s.From = first.Previous
		if first.Planned {
			s.Kind = Switchover
		}
	}
	if first.Reason == cluster.Bootstrapped || first.Phase == cluster.PhaseSteady && first.Epoch <= 1 {
		s.Kind, s.From = Bootstrap, first.Previous
	}
	forced := false
	for _, c := range s.Changes {
		if c.Primary != "" && c.Phase != cluster.PhaseHandoff {
			s.To = c.Primary
		}
		forced = forced || c.Phase == cluster.PhaseFencing || c.Phase == cluster.PhaseElecting
		if c.Phase == cluster.PhaseSteady {
			s.Ended, reign = true, c
			break
		}
	}
	for _, sp := range s.Spans {
		if sp.BackFill != nil && sp.Node == s.To {
			s.BackFill = sp.BackFill
		}
	}
	switch {
	case s.Kind != Switchover:
	case forced:
		s.Kind = Failover // the primary was lost while it handed over
	case s.Ended && s.To == s.From:
		s.Kind = RolledBack
		s.Reason, s.Detail = reign.Reason, reign.Detail
	}
}

// measure fills in Began, Serving and Took.
func (s *Switch) measure() {
	end := s.Changes[0].At
	for _, c := range s.Changes {
		end = max(end, c.At)
		if c.Phase == cluster.PhaseSteady {
			break
		}
	}
	for _, sp := range s.Spans {
		s.Began = min(s.Began, sp.Start)
	}
	if at, ok := s.servingAt(); ok {
		s.Serving, end = &at, at
	}
	s.Took = end - s.Began
}

// servingAt is when the last of what clients need was there on the new primary.
func (s *Switch) servingAt() (Millis, bool) {
	gate, found := s.reached(StepOpenGate)
	at := gate.End()
	for _, step := range []Step{StepLease, StepAddress} {
		if sp, ok := s.reached(step); ok {
			at = max(at, sp.End())
		}
	}
	return at, found
}
