package timeline

import (
	"cmp"
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Milestone is one point that every switch of its kind passes.
type Milestone struct {
	Name   string           `json:"name"`
	At     Millis           `json:"at_ms"`
	After  Millis           `json:"after_ms"` // time since the milestone before it
	Node   cluster.NodeName `json:"node,omitempty"`
	Detail string           `json:"detail,omitempty"`
}

// The names of the milestones, in their usual order.
const (
	Detected  = "detected"
	Confirmed = "confirmed"
	Accepted  = "accepted" // planned: instead of detected and confirmed
	Drained   = "drained"
	Fenced    = "fenced"
	Promised  = "promises in"
	Chosen    = "chosen"
	Applied   = "applied"
	Promoted  = "promoted"
	LeaseHeld = "lease"
	GateOpen  = "gate"
	Addressed = "address"
	Verified  = "verified"
	Marked    = "marker"
	NewReign  = "steady"
	Following = "replicas following"
)

// milestones picks them out of changes and spans. What nobody recorded is left
// out rather than guessed.
func milestones(s Switch) []Milestone {
	var ms []Milestone
	add := func(name string, at Millis, node cluster.NodeName, detail string) {
		ms = append(ms, Milestone{Name: name, At: at, Node: node, Detail: detail})
	}
	span := func(name string, sp Span, ok bool) {
		if ok {
			add(name, sp.End(), sp.Node, sp.Detail)
		}
	}
	first := s.Changes[0]
	switch s.Kind {
	case Bootstrap:
	case Switchover, RolledBack:
		add(Accepted, first.At, first.By, first.Detail)
	case Failover:
		sp, ok := firstEnded(s.Spans, StepDetect)
		span(Detected, sp, ok)
		add(Confirmed, first.At, first.By, first.Detail)
	}
	sp, ok := lastEnded(s.Spans, func(sp Span) bool { return sp.Step == StepDrain })
	span(Drained, sp, ok)
	for i, c := range s.Changes {
		switch {
		case i == 0 && s.Kind == Bootstrap: // nobody was to be fenced
		case c.Phase == cluster.PhaseElecting:
			add(Fenced, c.At, c.By, cmp.Or(c.Evidence, string(c.Why)))
		case c.Phase == cluster.PhasePromoting:
			if sp, ok := lastEnded(s.Spans, func(sp Span) bool { return sp.Step == StepPromise && sp.Epoch == c.Epoch }); ok {
				span(Promised, sp, true)
			}
			add(Chosen, c.At, c.By, cmp.Or(c.Evidence, string(c.Primary)))
		case c.Phase == cluster.PhaseSteady && (i == 0 || s.Changes[i-1].Phase != cluster.PhaseSteady):
			add(NewReign, c.At, c.By, c.Evidence)
		}
	}
	for _, m := range []struct {
		name string
		step Step
	}{
		{Applied, StepApply}, {Promoted, StepPromote}, {LeaseHeld, StepLease}, {GateOpen, StepOpenGate},
		{Addressed, StepAddress}, {Verified, StepVerify}, {Marked, StepMarker},
	} {
		sp, ok := s.reached(m.step)
		span(m.name, sp, ok)
	}
	sp, ok = lastEnded(s.Spans, func(sp Span) bool { return sp.Step == StepFollow && sp.Node != s.To })
	span(Following, sp, ok)

	slices.SortStableFunc(ms, func(a, b Milestone) int { return cmp.Compare(a.At, b.At) })
	before := s.Began
	for i := range ms {
		ms[i].After = ms[i].At - before
		before = ms[i].At
	}
	return ms
}

// reached is when the new primary had done a step for this switch. Once the record is
// steady it may do it again for other reasons, such as an address that somebody took
// away. Only what a switch that was rolled back opens again comes after that.
func (s Switch) reached(step Step) (Span, bool) {
	here := func(sp Span) bool { return sp.Step == step && sp.Node == s.To }
	steady := slices.IndexFunc(s.Changes, func(c Change) bool { return c.Phase == cluster.PhaseSteady })
	if steady < 0 {
		return lastEnded(s.Spans, here)
	}
	if sp, ok := lastEnded(s.Spans, func(sp Span) bool { return here(sp) && sp.Start <= s.Changes[steady].At }); ok {
		return sp, ok
	}
	return firstEnded(slices.DeleteFunc(slices.Clone(s.Spans), func(sp Span) bool { return !here(sp) }), step)
}

func firstEnded(spans []Span, step Step) (Span, bool) {
	var first Span
	found := false
	for _, sp := range spans {
		if sp.Step == step && sp.Outcome == OK && (!found || sp.End() < first.End()) {
			first, found = sp, true
		}
	}
	return first, found
}

func lastEnded(spans []Span, match func(Span) bool) (Span, bool) {
	var last Span
	found := false
	for _, sp := range spans {
		if match(sp) && sp.Outcome == OK && (!found || sp.End() > last.End()) {
			last, found = sp, true
		}
	}
	return last, found
}

// Slowest is the milestone that the switch waited longest for before it served.
func (s Switch) Slowest() (Milestone, bool) {
	var slowest Milestone
	found := false
	for _, m := range s.Milestones {
		if s.Serving != nil && m.At > *s.Serving {
			break
		}
		if !found || m.After > slowest.After {
			slowest, found = m, true
		}
	}
	return slowest, found
}
